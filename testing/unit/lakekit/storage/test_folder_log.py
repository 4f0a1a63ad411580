from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Dict, List

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from lakekit.storage import folder_log
from lakekit.storage.folder_log import FolderLog


def rows(*values: int) -> pa.Table:
    return pa.table({"n": list(values), "p": [f"a b/{value % 2}" for value in values]})


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a table with three commits and five rows. The second commit has a
    transaction and a note.
    """
    path = tmp_path / "table"
    write_deltalake(str(path), rows(1, 2), partition_by=["p"])
    properties = CommitProperties(
        custom_metadata={"userMetadata": "said"},
        app_transactions=[Transaction("lakekit/a", 1)],
    )
    write_deltalake(str(path), rows(3), mode="append", commit_properties=properties)
    write_deltalake(str(path), rows(4, 5), mode="append")
    return path


def read(table: Path) -> FolderLog:
    log = FolderLog(table)
    assert log.update()
    return log


def test_log_says_what_delta_rs_says_of_it(table: Path) -> None:
    log, delta = read(table), DeltaTable(str(table))
    assert (log.version, log.rows()) == (delta.version(), 5)
    assert log.metadata["id"] == str(delta.metadata().id) and log.metadata[
        "partitionColumns"
    ] == ["p"]
    assert log.protocol["minReaderVersion"] == delta.protocol().min_reader_version
    assert [each[:2] for each in log.history()] == [
        (2, "WRITE"),
        (1, "WRITE"),
        (0, "WRITE"),
    ]
    assert [said for *_, said in log.history()] == [None, "said", None]
    assert log.holds(frozenset({"lakekit/a"})) and not log.holds(
        frozenset({"lakekit/a", "lakekit/b"})
    )


def test_new_commits_are_read_on(table: Path) -> None:
    log = read(table)
    DeltaTable(str(table)).delete("n = 3")
    assert log.update() and (log.version, log.rows()) == (3, 4)
    assert not log.holds(
        frozenset({"lakekit/a"})
    )  # the deleted row may be all that the transaction added


def test_sizes_are_those_of_the_files_of_the_version(table: Path) -> None:
    DeltaTable(str(table)).delete("n = 3")
    log = read(table)
    uris = DeltaTable(str(table)).file_uris()
    assert sorted(log.sizes().values()) == sorted(
        Path(uri).stat().st_size for uri in uris
    )
    assert all(
        (table / name).stat().st_size == size for name, size in log.sizes().items()
    )
    assert {values["p"] for values in log.partitions()} == {"a b/0", "a b/1"}


def test_compaction_takes_no_row_away(table: Path) -> None:
    DeltaTable(str(table)).optimize.compact()
    log = read(table)
    assert log.rows() == 5 and log.holds(frozenset({"lakekit/a"}))


def test_rebuilt_table_of_the_same_name_is_another(table: Path) -> None:
    log = read(table)
    shutil.rmtree(table)
    write_deltalake(str(table), rows(7))
    assert log.update() and (log.version, log.rows()) == (0, 1)
    shutil.rmtree(table)
    assert not log.update() and log.version == -1


def change(table: Path, version: int, what: Dict[str, Any]) -> None:
    """Change fields of a commit's actions. `what` contains the new fields by the kind
    of action.
    """
    file = table / "_delta_log" / f"{version:020}.json"
    lines: List[Dict[str, Any]] = [
        json.loads(line) for line in file.read_text().splitlines()
    ]
    for line in lines:
        for kind, said in line.items():
            said.update(what.get(kind, {}))
    file.write_text("\n".join(map(json.dumps, lines)))


def test_file_whose_rows_nobody_counted_leaves_the_number_open(table: Path) -> None:
    change(table, 1, {"add": {"stats": None}})
    assert read(table).rows() is None


@pytest.mark.parametrize("damage", ["gone", "half", "many"])
def test_log_that_json_does_not_tell_is_left_to_spark(
    table: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = table / "_delta_log" / f"{1:020}.json"
    if damage == "gone":
        file.unlink()
    elif damage == "half":
        file.write_text(file.read_text()[:-20])
    else:
        monkeypatch.setattr(folder_log, "MOST", 2)
    assert not FolderLog(table).update()


def test_domains_are_known(table: Path) -> None:
    file = table / "_delta_log" / f"{2:020}.json"
    domain = {"domain": "delta.clustering", "configuration": "{}", "removed": False}
    file.write_text(
        file.read_text().rstrip() + "\n" + json.dumps({"domainMetadata": domain})
    )
    assert read(table).domains == {"delta.clustering": domain}
