"""Replays the versions of a Delta table from the JSON and Parquet files of its log.

So lakekit can read versions that no engine can open. For example, if a partition value
is invalid, delta-rs cannot open the table, and Spark cannot read a row.
"""

from __future__ import annotations

import datetime
import json
import re
from dataclasses import dataclass, field
from io import BytesIO
from typing import (
    Any,
    Collection,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Set,
    Tuple,
)
from urllib.parse import unquote

from lakekit.declarations.value_limits import LONGEST_NAME, is_too_long
from lakekit.errors import DamagedLogError, MissingExtraError
from lakekit.storage.folder_log import COMMIT, Partition
from lakekit.storage.log_actions import fault
from lakekit.storage.log_files import LogFiles
from lakekit.storage.versions import Version

CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10}))?\.parquet")
LAST = "_last_checkpoint"
ELSEWHERE = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*:/")
"""Matches the start of a path outside the table's folder. A shallow clone has paths
outside its own folder.
"""
ADD = (
    "path",
    "partitionValues",
    "size",
    "modificationTime",
    "dataChange",
    "stats",
    "tags",
)
COLUMNS = ["protocol", "metaData", *(f"add.{name}" for name in ADD)]
"""The columns to read from a checkpoint. The columns with parsed partition values are
not read, because reading fails if a parsed value is invalid.
"""
Action = Dict[str, Any]


@dataclass
class LogState:
    """The state of a table at one version, as actions of the log. The paths of data
    files are unquoted.

    `commit` is the action `commitInfo` of the version's commit. `commit` is empty if
    the file of this commit does not exist.
    """

    version: int
    protocol: Action = field(default_factory=dict)
    metadata: Action = field(default_factory=dict)
    files: Dict[str, Action] = field(default_factory=dict)
    commit: Action = field(default_factory=dict)


def versions(files: LogFiles) -> Tuple[Version, ...]:
    """Return all versions in the log, newest first. The result is empty if the table
    does not exist.

    Raises DamagedLogError if the newest version cannot be replayed.
    """
    there, found = files.data_files(), []
    for state in replay(files):
        damaged = [
            path for path, add in state.files.items() if _is_damaged(path, add, there)
        ]
        at = instant(state.commit.get("timestamp"))
        operation = str(state.commit.get("operation", ""))
        partitions = (add["partitionValues"] for add in state.files.values())
        reason = unreadable(state.metadata, partitions) or _too_long(state.files)
        found.append(Version(state.version, at, operation, tuple(damaged), reason))
    return tuple(reversed(found))


def check_commits(files: LogFiles) -> None:
    """Raise DamagedLogError for the first faulty commit.

    Commits before a checkpoint are included, because the history of a table reads every
    commit.
    """
    commits = _commits(files.names())
    for version in sorted(commits):
        _commit(files, version, commits)


def check_newest(files: LogFiles) -> None:
    """Raise DamagedLogError if the newest commit is empty or has a faulty action.

    A crash of the machine may leave a commit that is empty, or whose actions have no
    content. Readers accept a commit without content, although the writer wrote
    something else.
    """
    commits = _commits(files.names())
    if commits:
        _commit(files, max(commits), commits)


def check_recent(files: LogFiles, version: Optional[int] = None) -> None:
    """Check the commits that a reader of a version needs: those after the last
    checkpoint. Raises DamagedLogError for the first faulty commit. If `version` is
    None, the newest version is checked.
    """
    names = files.names()
    commits = _commits(names)
    last = max(commits, default=-1) if version is None else version
    starts = [at for at, _ in _checkpoints(names) if at <= last]
    for each in sorted(commits):
        if max(starts, default=-1) < each <= last:
            _commit(files, each, commits)


def instant(millis: Optional[int]) -> Optional[datetime.datetime]:
    """Return a timestamp of the log as a datetime in UTC."""
    if millis is None:
        return None
    return datetime.datetime.fromtimestamp(millis / 1000, datetime.timezone.utc)


def replay(files: LogFiles) -> Iterator[LogState]:
    """Yield the state at each version, oldest first. The same object is updated and
    yielded again for each version.

    If commits are missing or damaged, the replay continues at the next checkpoint, as
    other readers do. Raises DamagedLogError if there is no later checkpoint.
    """
    names = files.names()
    commits = _commits(names)
    checkpoints = _checkpoints(names)
    if LAST in names:
        _check_pointer(files, [version for version, _ in checkpoints])
    if checkpoints:
        _load(files, checkpoints[-1])  # readers also start here
    newest = max([*commits, *(version for version, _ in checkpoints)], default=-1)
    state = LogState(-1)
    while state.version < newest:
        version = state.version + 1
        try:
            actions = _commit(files, version, commits)
        except DamagedLogError:
            later = [each for each in checkpoints if each[0] >= version]
            if not later:
                raise
            version, actions = later[0][0], _load(files, later[0])
            state = LogState(version)
        state.version, state.commit = version, {}
        for action in actions:
            _apply(state, action)
        yield state


def _check_pointer(files: LogFiles, checkpoints: Collection[int]) -> None:
    """Raise DamagedLogError if `_last_checkpoint` names a missing checkpoint, because
    readers then fail.

    If `_last_checkpoint` is not JSON, no error is raised, because readers ignore the
    file.
    """
    try:
        version = json.loads(files.read(LAST))["version"]
    except (ValueError, KeyError, TypeError):
        return
    if isinstance(version, int) and version > max(checkpoints, default=-1):
        what = "names a checkpoint that is missing"
        raise DamagedLogError(files.location, LAST, what, version)


def _commits(names: List[str]) -> Set[int]:
    """Return the versions that have a commit file."""
    return {int(found.group(1)) for found in map(COMMIT.fullmatch, names) if found}


def _checkpoints(names: List[str]) -> List[Tuple[int, List[str]]]:
    """Return the versions and files of the complete checkpoints, oldest first."""
    parts: Dict[Tuple[int, int], List[str]] = {}
    for found in filter(None, map(CHECKPOINT.fullmatch, names)):
        key = int(found.group(1)), int(found.group(3) or 1)
        parts.setdefault(key, []).append(found.group(0))
    whole = {
        key[0]: sorted(files) for key, files in parts.items() if len(files) == key[1]
    }
    return sorted(whole.items())


def _commit(files: LogFiles, version: int, there: Collection[int]) -> List[Action]:
    name = f"{version:020}.json"
    if version not in there:
        raise DamagedLogError(files.location, name, "is missing", version)
    actions: List[Action] = []
    # Only LF ends a line, because a JSON text may contain other line ends.
    for number, line in enumerate(files.read(name).split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            actions.append(json.loads(line.decode("utf-8")))
            reason = fault(actions[-1])
        except ValueError:
            reason = "it is not JSON"
        if reason:
            what = f"has a fault in line {number} ({reason})"
            raise DamagedLogError(files.location, name, what, version)
    if not actions:
        raise DamagedLogError(files.location, name, "is empty", version)
    return actions


def _load(files: LogFiles, checkpoint: Tuple[int, List[str]]) -> List[Action]:
    """Return the actions of a checkpoint."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise MissingExtraError("pyarrow", "embedded") from error
    version, names = checkpoint
    actions: List[Action] = []
    for name in names:
        try:
            rows = pq.ParquetFile(BytesIO(files.read(name))).read(columns=COLUMNS)
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise DamagedLogError(
                files.location, name, "is not a complete Parquet file", version
            ) from error
        actions += [
            {kind: _without_nulls(content)}
            for row in rows.to_pylist(maps_as_pydicts="strict")
            for kind, content in row.items()
            if content is not None
        ]
    reason = next(filter(None, map(fault, actions)), "")
    if not {"protocol", "metaData"} <= {kind for each in actions for kind in each}:
        reason = reason or "it has no protocol or metadata"
    if reason:
        what = f"has a fault ({reason})"
        raise DamagedLogError(files.location, names[0], what, version)
    return actions


def _without_nulls(content: Action) -> Action:
    """Return an action of a checkpoint in the form of a JSON action, without null
    fields.

    A row of Parquet has every field, but a JSON action has only the fields that are
    set. Nulls in a map, such as the map of the partition values, are values, so these
    nulls are not removed.
    """
    return {key: value for key, value in content.items() if value is not None}


def _apply(state: LogState, action: Mapping[str, Any]) -> None:
    for kind, content in action.items():
        if kind == "add":
            state.files[unquote(content["path"])] = content
        elif kind == "remove":
            state.files.pop(unquote(content["path"]), None)
        elif kind == "metaData":
            state.metadata = content
        elif kind == "protocol":
            state.protocol = content
        elif kind == "commitInfo":
            state.commit = content


def _is_damaged(path: str, add: Action, there: Mapping[str, int]) -> bool:
    if ELSEWHERE.match(path):
        return False
    # The folder name contains the quoted partition value. Some writers quote this
    # folder name again in the log.
    return add["size"] not in (there.get(path), there.get(str(add["path"])))


def unreadable(metadata: Mapping[str, Any], partitions: Iterable[Partition]) -> str:
    """Return why readers reject a table. The result is empty if no reason is known.

    `metadata` is the table's metadata, and `partitions` has the partition values of its
    data files.
    """
    fields = json.loads(metadata.get("schemaString") or '{"fields": []}')["fields"]
    for column in fields:
        if "\0" in column["name"]:
            return f"the column name {column['name']!r} has the character NUL"
    by = [
        each for each in fields if each["name"] in metadata.get("partitionColumns", [])
    ]
    for values in partitions if by else ():
        for column in by:
            value = values.get(column["name"])
            if not _is_value(value, column):
                kind = column["type"]
                return (
                    f"the partition value {value!r} of {column['name']} is not a {kind}"
                )
    return ""


def _too_long(paths: Iterable[str]) -> str:
    """Return why the embedded engine cannot read these files if they are on S3. The
    result is empty if the engine can read these files.
    """
    path = next(filter(is_too_long, paths), "")
    return path and f"the folder of {path} has a name of more than {LONGEST_NAME} bytes"


def _is_value(value: Optional[str], column: Mapping[str, Any]) -> bool:
    """Return whether readers can parse a partition value as the column's type."""
    if not value:  # Delta reads an empty value as a null
        return bool(column["nullable"])
    if column["type"] == "date":
        try:
            return datetime.date.fromisoformat(value).isoformat() == value
        except ValueError:
            return False
    if column["type"] in ("integer", "long"):
        return bool(re.fullmatch("[+-]?[0-9]+", value))
    return column["type"] != "boolean" or value.lower() in ("true", "false")
