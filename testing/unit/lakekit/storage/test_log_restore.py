from __future__ import annotations

from typing import Any, Dict, List

import pytest

from lakekit.errors import ConflictError, InvalidLakeError
from lakekit.storage.log_replay import LogState, replay
from lakekit.storage.log_restore import actions, states, write_restore
from testing.unit.lakekit.fake_log import FakeFiles, add, log_of, metadata, remove

PROTOCOL = {"protocol": {"minReaderVersion": 1, "minWriterVersion": 4}}


def files_of(protocol: Dict[str, Any] = PROTOCOL) -> FakeFiles:
    """Return the files of a table. Version 1 has the data files `a` and `b`. Version 3
    has `b` and `c`, and a different schema.
    """
    commits: List[List[Any]] = [
        [protocol, metadata()],
        [add("a", size=1), add("b", size=2)],
        [remove("a"), add("c", size=4), metadata("string")],
        [],
    ]
    return log_of(commits)


def test_commit_removes_adds_and_takes_the_older_schema() -> None:
    target, newest = states(files_of(), 1)
    info, schema, added, removed = actions(target, newest, 7)
    assert schema == metadata()
    assert added == {"add": {**add("a")["add"], "dataChange": True}}
    assert removed["remove"] == {
        "path": "c",
        "partitionValues": {"p": "2024-01-01"},
        "size": 4,
        "deletionTimestamp": 7,
        "dataChange": True,
        "extendedFileMetadata": True,
    }
    commit = info["commitInfo"]
    assert (commit["operation"], commit["readVersion"]) == ("RESTORE", 3)
    assert commit["operationParameters"] == {"version": 1, "timestamp": None}
    assert commit["operationMetrics"] == {
        "numRestoredFiles": "1",
        "restoredFilesSize": "1",
        "numRemovedFiles": "1",
        "removedFilesSize": "4",
        "numOfFilesAfterRestore": "2",
        "tableSizeAfterRestore": "3",
    }


def test_newest_version_is_then_the_older_one() -> None:
    files = files_of()
    assert write_restore("gold.t", files, *states(files, 1)) == 4
    *_, state = replay(files)
    target, _ = states(files_of(), 1)
    assert (state.version, set(state.files)) == (4, {"a", "b"})
    assert (state.metadata, state.protocol) == (target.metadata, target.protocol)


def test_writer_that_was_first_is_not_written_over() -> None:
    files = files_of()
    target, newest = states(files, 1)
    files.create(f"{4:020}.json", b"another")
    with pytest.raises(ConflictError):
        write_restore("gold.t", files, target, newest)
    assert files.read(f"{4:020}.json") == b"another"


@pytest.mark.parametrize("protocol", [(1, 7), (2, 5), (3, 7)])
def test_table_with_other_features_is_left_to_spark(protocol: Any) -> None:
    reader, writer = protocol
    files = files_of(
        {"protocol": {"minReaderVersion": reader, "minWriterVersion": writer}}
    )
    with pytest.raises(InvalidLakeError) as refused:
        write_restore("gold.t", files, *states(files, 1))
    assert refused.value.next_step == "Add --engine spark."
    assert f"{4:020}.json" not in files.names()


def test_append_only_table_is_not_taken_from() -> None:
    target, newest = states(files_of(), 1)
    newest = LogState(
        3, newest.protocol, {"configuration": {"delta.appendOnly": "true"}}
    )
    with pytest.raises(InvalidLakeError):
        write_restore("gold.t", files_of(), target, newest)
