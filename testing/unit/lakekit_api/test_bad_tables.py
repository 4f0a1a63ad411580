"""Tests the service while a table cannot be read. The service must still return the
unreadable table's last loaded version, and all other tables.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Callable, Dict, List

import pytest
from fastapi.testclient import TestClient

from lakekit_api import Settings
from testing.unit.lakekit_api.trips import OTHER, TRIPS, trip, write

Connect = Callable[..., TestClient]
Damage = Callable[[Path], None]


def damage_data(folder: Path) -> None:
    for file in folder.glob("*.parquet"):
        file.write_bytes(b"PAR1, once")


def damage_commit(folder: Path) -> None:
    newest = sorted((folder / "_delta_log").glob("*.json"))[-1]
    newest.write_text("{not json")


def damage_path(folder: Path) -> None:
    newest = sorted((folder / "_delta_log").glob("*.json"))[-1]
    newest.write_text(newest.read_text().replace("part-", "gone-"))


def damage_protocol(folder: Path) -> None:
    newest = sorted((folder / "_delta_log").glob("*.json"))[-1]
    text = newest.read_text().replace('"minReaderVersion":1', '"minReaderVersion":99')
    newest.write_text(text)


DAMAGES = [damage_data, damage_commit, damage_path, damage_protocol]


def statuses(client: TestClient) -> Dict[str, str]:
    answer = client.get("/tables")
    assert answer.status_code == 200, answer.text
    return {table["name"]: table["status"] for table in answer.json()["tables"]}


@pytest.mark.parametrize("damage", DAMAGES)
def test_bad_table_is_reported_and_the_others_are_served(
    damage: Damage, client: TestClient, lake: Path
) -> None:
    damage(lake / TRIPS.folder)
    assert client.get("/gold/trips").status_code in (503, 404)
    assert client.get("/gold/other").json()["rows"] == [{"place": 1}]
    found = statuses(client)
    assert found.pop("gold.trips") in ("unreadable", "missing")
    assert found == {"gold.other": "ok"}
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert ready.json()["tables"]["gold.other"] == "ok"
    assert ready.json()["tables"]["gold.trips"] != "ok"
    assert str(lake) not in ready.text + client.get("/tables").text


@pytest.mark.parametrize("damage", [damage_commit, damage_path, damage_data])
def test_last_good_version_is_served_and_marked(
    damage: Damage, client: TestClient, lake: Path
) -> None:
    good = client.get("/gold/trips")
    assert "lakekit-stale" not in good.headers
    write(lake, TRIPS, [trip(9, "z")])
    damage(lake / TRIPS.folder)
    stale = client.get("/gold/trips")
    assert (stale.status_code, stale.json()) == (200, good.json())
    assert int(stale.headers["lakekit-stale"]) >= 0
    known = {"If-None-Match": good.headers["etag"]}
    unchanged = client.get("/gold/trips", headers=known)
    assert unchanged.status_code == 304 and "lakekit-stale" in unchanged.headers
    assert statuses(client) == {"gold.trips": "stale", "gold.other": "ok"}
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert "lakekit-stale" not in client.get("/gold/other").headers
    text = client.get("/metrics").text
    found = dict(re.findall(r'stale_seconds\{table="([a-z.]+)"\} (\S+)', text))
    assert float(found["gold.trips"]) > 0 and float(found["gold.other"]) == 0
    assert re.search(r'failed_looks_total\{table="gold.trips"\} [1-9]', text)


def test_repaired_table_is_served_again_without_a_mark(
    client: TestClient, lake: Path
) -> None:
    client.get("/gold/trips")
    write(lake, TRIPS, [trip(9, "z")])
    log = lake / TRIPS.folder / "_delta_log" / f"{1:020}.json"
    whole = log.read_text()
    damage_path(lake / TRIPS.folder)
    assert "lakekit-stale" in client.get("/gold/trips").headers
    log.write_text(whole)
    answer = client.get("/gold/trips")
    assert "lakekit-stale" not in answer.headers and answer.json()["version"] == 1
    assert 'stale_seconds{table="gold.trips"} 0.0' in client.get("/metrics").text


def test_last_good_version_is_served_up_to_a_limit(
    connect: Connect, settings: Settings, lake: Path
) -> None:
    client = connect(dataclasses.replace(settings, max_stale=0.0))
    assert client.get("/gold/trips").status_code == 200
    write(lake, TRIPS, [trip(9, "z")])
    damage_path(lake / TRIPS.folder)
    assert client.get("/gold/trips").status_code == 503
    assert client.get("/gold/other").status_code == 200
    assert statuses(client) == {"gold.trips": "unreadable", "gold.other": "ok"}


def test_service_is_not_ready_when_no_table_can_be_read(
    client: TestClient, lake: Path
) -> None:
    for table in (TRIPS, OTHER):
        damage_data(lake / table.folder)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
    assert client.get("/healthz").status_code == 200


def test_old_versions_of_a_bad_table_stay_readable(
    client: TestClient, lake: Path
) -> None:
    for day in (7, 8):
        write(lake, TRIPS, [trip(day, "z")])
    seen: List[int] = [client.get("/gold/trips").json()["version"]]
    damage_path(lake / TRIPS.folder)
    old = client.get("/gold/trips?version=1")
    assert seen == [2] and old.json()["rows"][0]["day"] == "2013-01-07"
    assert "lakekit-stale" in old.headers
