"""Restores an older version of a table with a commit that lakekit itself writes. This
module is needed if delta-rs cannot open the newest version and so cannot commit.

The commit removes the files that only the newest version has, and adds the files that
only the older version has. Data files are not read, written or deleted. All later
versions stay in the history.
"""

from __future__ import annotations

import copy
import json
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from lakekit.errors import ConflictError, InvalidLakeError
from lakekit.storage.log_files import LogFiles
from lakekit.storage.log_replay import Action, LogState, replay

WRITER = 4
"""The writer protocol version of lakekit's tables. Newer protocol versions have more
requirements for commits.
"""


@dataclass(frozen=True)
class RestoreOutcome:
    """The result of a restore.

    `version` is the version that the restore committed; None in a dry run. `added` and
    `removed` are the numbers of data files that the restore adds to the table and
    removes from it.
    """

    version: Optional[int]
    added: int
    removed: int


def states(files: LogFiles, version: int) -> Tuple[LogState, LogState]:
    """Return the table at the given version, and at the newest version. Raises
    DamagedLogError if the log is damaged; KeyError if the given version is not in the
    log.
    """
    copies: Dict[int, LogState] = {}
    state = LogState(-1)
    for state in replay(files):
        if state.version == version:
            copies[version] = copy.deepcopy(state)
    return copies[version], state


def difference(target: LogState, newest: LogState) -> Tuple[List[str], List[str]]:
    """Return the data files that a restore adds, and the data files that it removes."""
    added = [path for path in target.files if path not in newest.files]
    removed = [path for path in newest.files if path not in target.files]
    return added, removed


def write_restore(
    table: str, files: LogFiles, target: LogState, newest: LogState
) -> int:
    """Commit the restore, and return the new version.

    Raises ConflictError if another writer committed first; InvalidLakeError if the
    table has features that a commit by lakekit does not support.
    """
    if (
        newest.protocol["minReaderVersion"] > 1
        or newest.protocol["minWriterVersion"] > WRITER
        or newest.metadata.get("configuration", {}).get("delta.appendOnly") == "true"
    ):
        raise InvalidLakeError(
            f"{table} uses Delta features that lakekit's own restore does not support",
            "Add --engine spark.",
        )
    version = newest.version + 1
    lines = [
        json.dumps(action)
        for action in actions(target, newest, int(time.time() * 1000))
    ]
    try:
        files.create(f"{version:020}.json", ("\n".join(lines) + "\n").encode())
    except FileExistsError as error:
        raise ConflictError(table) from error
    return version


def actions(target: LogState, newest: LogState, now: int) -> List[Action]:
    """Return the actions of the commit. `now` is in milliseconds since 1970."""
    added, removed = difference(target, newest)
    sizes = [
        sum(state.files[path]["size"] for path in paths)
        for state, paths in ((target, added), (newest, removed), (target, target.files))
    ]
    names = ("restoredFilesSize", "removedFilesSize", "tableSizeAfterRestore")
    metrics: Dict[str, Any] = dict(zip(names, map(str, sizes)))
    metrics.update(
        numRestoredFiles=str(len(added)),
        numRemovedFiles=str(len(removed)),
        numOfFilesAfterRestore=str(len(target.files)),
    )
    info = {
        "timestamp": now,
        "operation": "RESTORE",
        "operationParameters": {"version": target.version, "timestamp": None},
        "readVersion": newest.version,
        "isBlindAppend": False,
        "engineInfo": "lakekit",
        "operationMetrics": metrics,
    }
    found: List[Action] = [{"commitInfo": info}]
    if target.metadata != newest.metadata:
        found.append({"metaData": target.metadata})
    found += [{"add": {**target.files[path], "dataChange": True}} for path in added]
    return found + [{"remove": _remove(newest.files[path], now)} for path in removed]


def _remove(add: Action, now: int) -> Action:
    taken = ("path", "partitionValues", "size", "tags")
    found = {key: add[key] for key in taken if key in add}
    more = {"deletionTimestamp": now, "dataChange": True, "extendedFileMetadata": True}
    return {**found, **more}
