"""Tests the service while a table is replaced by an older copy of the table, to which
different commits were added. The table id and the version numbers stay the same, but
the rows differ.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import List

import pytest
from deltalake import DeltaTable
from fastapi.testclient import TestClient

from testing.unit.lakekit_api.trips import TRIPS, trip, write


@pytest.fixture
def copied(lake: Path, tmp_path: Path) -> Path:
    """Return a copy of the table at version 0."""
    shutil.copytree(lake / TRIPS.folder, tmp_path / "copy")
    return tmp_path / "copy"


def restore(copied: Path, lake: Path) -> None:
    folder = lake / TRIPS.folder
    table_id = str(DeltaTable(str(folder)).metadata().id)
    shutil.rmtree(folder)
    shutil.copytree(copied, folder)
    assert str(DeltaTable(str(folder)).metadata().id) == table_id


def codes(client: TestClient, query: str = "") -> List[str]:
    answer = client.get(f"/gold/trips?{query}")
    assert answer.status_code == 200, answer.text
    return [row["code"] for row in answer.json()["rows"]]


def test_rows_and_etag_are_of_the_new_history(
    client: TestClient, lake: Path, copied: Path
) -> None:
    write(lake, TRIPS, [trip(day, "old") for day in (1, 2, 3)])
    first = client.get("/gold/trips?limit=1")
    restore(copied, lake)
    write(lake, TRIPS, [trip(day, "new") for day in (1, 2, 3)])
    etag = first.headers["etag"]
    second = client.get("/gold/trips?limit=1", headers={"If-None-Match": etag})
    assert second.status_code == 200 and second.headers["etag"] != etag
    assert first.json()["version"] == second.json()["version"] == 1
    assert second.json()["rows"][0]["code"] == "new"
    assert client.get(first.json()["next"]).status_code == 410
    assert client.get(second.json()["next"]).json()["rows"][0]["code"] == "new"


def test_old_version_is_of_the_new_history(
    client: TestClient, lake: Path, copied: Path
) -> None:
    for day in (1, 2):
        write(lake, TRIPS, [trip(day, "old")])
    assert codes(client, "version=1") == ["old"]
    restore(copied, lake)
    for day in (1, 2):
        write(lake, TRIPS, [trip(day, "new")])
    assert codes(client, "version=1") == ["new"]
    assert len(codes(client, "version=0")) == 5


def test_unchanged_copy_has_the_same_etag(
    client: TestClient, lake: Path, copied: Path
) -> None:
    first = client.get("/gold/trips?limit=3")
    etag = first.headers["etag"]
    restore(copied, lake)
    again = client.get("/gold/trips?limit=3", headers={"If-None-Match": etag})
    assert (again.status_code, again.headers["etag"]) == (304, etag)
    assert len(client.get(first.json()["next"]).json()["rows"]) == 2


def test_version_with_deletion_vectors_is_not_served_with_deleted_rows(
    client: TestClient, lake: Path
) -> None:
    """A deletion vector only marks rows as deleted; the data files still contain
    them.
    """
    log = lake / TRIPS.folder / "_delta_log" / f"{0:020}.json"
    old = log.read_text()
    write(lake, TRIPS, [trip(9, "z")])
    protocol = '"minReaderVersion":1,"minWriterVersion":2'
    assert protocol in old
    features = (
        '"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]'
    )
    log.write_text(
        old.replace(protocol, f'"minReaderVersion":3,"minWriterVersion":7,{features}')
    )
    answer = client.get("/gold/trips?version=0")
    assert answer.status_code == 503 and "rows" not in answer.json()
