from __future__ import annotations

from pathlib import Path
from typing import List, Optional

import pytest
from deltalake import DeltaTable, Field, Schema
from deltalake.schema import PrimitiveType
from deltalake.transaction import AddAction

from lakekit.errors import DamagedLogError
from lakekit.storage.log_files import FolderLogFiles
from lakekit.storage.log_replay import check_recent, replay, versions
from lakekit.storage.versions import Version
from testing.unit.lakekit.fake_log import FakeFiles, add, log_of, metadata, remove


def test_each_version_has_the_files_of_its_commits() -> None:
    files = log_of([[metadata(), add("a")], [add("b%20c")], [remove("a")]])
    found = [(state.version, sorted(state.files)) for state in replay(files)]
    assert found == [(0, ["a"]), (1, ["a", "b c"]), (2, ["b c"])]


def test_version_tells_its_commit_and_the_files_that_are_damaged() -> None:
    info = {"commitInfo": {"timestamp": 1704067200000, "operation": "WRITE"}}
    commits = [
        [metadata(), info, add("a"), add("p=x%20y/b", size=2)],
        [add("c", size=3)],
    ]
    files = log_of(commits, {"a": b"1", "p=x y/b": b"12", "c": b"1"})
    newest, oldest = versions(files)
    assert (newest.number, newest.damaged, newest.whole) == (1, ("c",), False)
    assert (oldest.number, oldest.damaged, oldest.whole) == (0, (), True)
    assert (oldest.operation, str(oldest.timestamp)) == (
        "WRITE",
        "2024-01-01 00:00:00+00:00",
    )
    assert newest.timestamp is None


def test_file_whose_name_holds_a_quoted_value_is_found() -> None:
    files = log_of([[metadata(), add("p=x%2520y/b"), add("p=x%20z/b")]])
    files.data = {
        "p=x%20y/b": b"1",
        "p=x%20z/b": b"1",
    }  # the file names that Spark and delta-rs write
    assert versions(files)[0].damaged == ()


def test_file_of_another_table_is_not_looked_for() -> None:
    files = log_of([[metadata(), add("s3://other/a"), add("/other/a")]])
    assert versions(files)[0].damaged == ()


@pytest.mark.parametrize(
    ("kind", "value", "readable"),
    [
        ("date", "0001-01-01", True),
        ("date", "0001-01-01 (BC)", False),
        ("date", "20000-01-01", False),
        ("date", "+20000-01-01", False),
        ("date", "-0044-01-01", False),
        ("date", None, False),
        ("string", "", False),
        ("string", "x", True),
        ("integer", "-7", True),
        ("long", "x", False),
        ("boolean", "true", True),
        ("boolean", "1", False),
        ("decimal(3,1)", "1.5", True),
    ],
)
def test_partition_value_that_no_reader_parses_is_named(
    kind: str, value: Optional[str], readable: bool
) -> None:
    files = log_of([[metadata(kind), add("a", value)]], {"a": b"1"})
    (version,) = versions(files)
    assert (version.whole, repr(value) in version.unreadable) == (
        readable,
        not readable,
    )


def test_null_is_a_value_where_the_column_takes_one() -> None:
    assert versions(log_of([[metadata(nullable=True), add("a", None)]], {"a": b"1"}))[
        0
    ].whole


def test_column_name_with_nul_is_named() -> None:
    (version,) = versions(log_of([[metadata(name="a\0b")]]))
    assert version.unreadable == r"the column name 'a\x00b' has the character NUL"


def test_folder_with_too_long_a_name_is_named() -> None:
    path = f"p={'x' * 254}/a"
    found = versions(log_of([[metadata("string"), add(path, "x" * 254)]], {path: b"1"}))
    assert found[0].damaged == () and not found[0].whole
    assert "a name of more than 255 bytes" in found[0].unreadable


def test_table_without_a_log_has_no_versions() -> None:
    assert versions(FakeFiles({}, {})) == ()


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_damaged_commit_without_a_checkpoint_is_named(damage: str) -> None:
    files = log_of([[metadata()], [add("a")], [add("b")]])
    name = f"{1:020}.json"
    if damage == "missing":
        del files.log[name]
    else:
        files.log[name] = files.log[name][:-5]
    with pytest.raises(DamagedLogError, match=f"{name} .*: version 1 and later"):
        versions(files)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a table with five versions and a checkpoint of version 3."""
    text = PrimitiveType("string")
    schema = Schema([Field("k", text), Field("p", text)])
    DeltaTable.create(str(tmp_path), schema, partition_by=["p"])
    for number in range(1, 5):
        (tmp_path / f"{number}.parquet").write_bytes(b"1")
        value = None if number == 2 else "x"
        action = AddAction(
            f"{number}.parquet", 1, {"p": value}, 0, True, '{"numRecords": 1}'
        )
        delta = DeltaTable(str(tmp_path))
        delta.create_write_transaction([action], "append", schema, ["p"])
        if number == 3:
            DeltaTable(str(tmp_path)).create_checkpoint()
    return tmp_path


def numbers(found: "tuple[Version, ...]") -> List[int]:
    return [version.number for version in found]


def test_checkpoint_stands_for_the_commits_that_are_gone(table: Path) -> None:
    files = FolderLogFiles(str(table))
    *_, whole = replay(files)
    for number in range(4):
        (table / "_delta_log" / f"{number:020}.json").unlink()
    found = versions(files)
    assert (numbers(found), all(version.whole for version in found)) == ([4, 3], True)
    *_, state = replay(files)
    assert sorted(state.files) == [f"{number}.parquet" for number in range(1, 5)]
    kept = ("partitionValues", "size", "stats", "modificationTime")
    for path, action in state.files.items():
        assert all(action[key] == whole.files[path][key] for key in kept), path
    assert state.metadata["schemaString"] == whole.metadata["schemaString"]


def test_checkpoint_is_gone_on_from_behind_a_damaged_commit(table: Path) -> None:
    (table / "_delta_log" / f"{2:020}.json").write_text("{")
    assert numbers(versions(FolderLogFiles(str(table)))) == [4, 3, 1, 0]


def test_damaged_checkpoint_is_named(table: Path) -> None:
    name = f"{3:020}.checkpoint.parquet"
    (table / "_delta_log" / name).write_bytes(b"PAR1")
    with pytest.raises(DamagedLogError, match=f"{name} is not a") as damaged:
        versions(FolderLogFiles(str(table)))
    assert "_last_checkpoint" in damaged.value.next_step


def test_recent_commits_are_checked_without_those_before_a_checkpoint() -> None:
    files = log_of([[metadata(), add("a")], [add("b")], [add("c")], [add("d")]])
    files.log[f"{1:020}.checkpoint.parquet"] = b""
    files.log[f"{0:020}.json"] = files.log[f"{2:020}.json"] = b"{"
    check_recent(files, 1)
    for version in (2, 3, None):
        with pytest.raises(DamagedLogError, match=f"{2:020}.json has a fault in line"):
            check_recent(files, version)


@pytest.mark.parametrize("stats", ["x", "[1]", '{"numRecords": '])
def test_commit_whose_statistics_are_not_json_is_damaged(stats: str) -> None:
    action = add("a")
    action["add"]["stats"] = stats
    with pytest.raises(DamagedLogError, match="line 2 .add.stats is '.*', not a JSON"):
        check_recent(log_of([[metadata(), action]]))
