"""With delta-rs, reads Delta logs and creates tables."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import contextmanager
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
)
from urllib.parse import quote

from lakekit.declarations.tables import Column, Table, Type
from lakekit.engines.engine import (
    FORBIDDEN_FEATURES,
    MAINTENANCE,
    TABLE_PROPERTIES,
    Head,
    Note,
)
from lakekit.engines.history import Commit, newest_change, newest_note
from lakekit.errors import (
    DamagedTableError,
    InvalidLakeError,
    MissingExtraError,
    StorageError,
)
from lakekit.storage import log_replay
from lakekit.storage.lake import Lake
from lakekit.storage.log_files import log_files

try:
    from deltalake import DeltaTable, Field, Schema, __version__ as DELTALAKE
    from deltalake.exceptions import DeltaError, TableNotFoundError
except ModuleNotFoundError as missing:
    raise MissingExtraError(str(missing.name), "embedded") from missing
if TYPE_CHECKING:
    import pyarrow as pa  # a slow import (40 ms) that most runs do not need

# All other types have the same name in lakekit and in Delta.
TO_DELTA: Mapping[Type, str] = {"int": "integer", "bigint": "long"}
FROM_DELTA = {delta: ours for ours, delta in TO_DELTA.items()}
RECENT = 12
"""The number of newest commits that are read first. Older commits are only read if
necessary, because reading the whole history opens every log file.
"""
SMALL_FILE = 32 << 20
SPINS = tuple(int(part) for part in DELTALAKE.split(".")[:2]) < (1, 3)
"""Whether delta-rs may leave a thread running after it has read a damaged commit.

Because of a thread that keeps running, the process may never end.
"""
OUTSIDE = re.compile(r"Generic \w+ error|[Pp]ermission denied|os error")
"""Matches errors of delta-rs about a location that cannot be reached. All other errors
of delta-rs are about the content of the log.
"""


def open_table(lake: Lake, table: Table) -> Optional[DeltaTable]:
    """Open the newest version of a table. Returns None if the table does not exist.

    Raises InvalidLakeError for a lake or a feature that the embedded engine does not
    support. Raises StorageError if the lake cannot be reached; DamagedLogError or
    DamagedTableError if the table cannot be read.
    """
    location = lake.location(table)
    if lake.kind == "schema":
        raise InvalidLakeError(
            f"The lake {lake} is a schema, which only Spark can access",
            "Add --engine spark.",
        )
    if lake.kind == "folder" and not (Path(location) / "_delta_log").is_dir():
        return None
    try:
        delta = load(lake, table)
    except TableNotFoundError:
        return None
    protocol = delta.protocol()
    if protocol.min_reader_version > 1:
        features = set(protocol.reader_features or ()) & set(FORBIDDEN_FEATURES) or {
            "columnMapping"
        }
        raise InvalidLakeError(
            f"{table.name} uses {', '.join(sorted(features))}, which not every"
            " supported writer can handle",
            "Switch it off: ALTER TABLE ... DROP FEATURE ... (and REORG TABLE ... APPLY"
            " (PURGE) for deletion vectors).",
        )
    return delta


def check_before_load(lake: Lake, table: Table, version: Optional[int] = None) -> None:
    """If delta-rs must not read damaged commits, raise DamagedLogError for a damaged
    commit.
    """
    if SPINS:
        log_replay.check_recent(log_files(lake, table), version)


def load(lake: Lake, table: Table, version: Optional[int] = None) -> DeltaTable:
    """Load a version of a table, by default the newest.

    Raises TableNotFoundError if the table does not exist; StorageError if the lake
    cannot be reached. Raises DamagedLogError for a damaged commit; DamagedTableError
    for a version that delta-rs or Arrow cannot read.
    """
    check_before_load(lake, table, version)
    location = lake.location(table)
    with reading(table, location):
        delta = DeltaTable(location, version=version)
        reason = _unreadable(delta)
    if reason:
        raise DamagedTableError(table.name, location, f"cannot be read: {reason}", None)
    return delta


@contextmanager
def reading(table: Table, location: str) -> Iterator[None]:
    """Translate errors that occur in this context while a table's log is read.

    Raises StorageError if the table's location cannot be reached; InvalidLakeError if
    the installed deltalake does not support a feature of the table; DamagedTableError
    otherwise. If a log is damaged, delta-rs may raise any of the errors that are caught
    here, or panic.
    """
    try:
        yield
    except TableNotFoundError:
        raise
    except (DeltaError, OSError, ValueError, TypeError, KeyError) as error:
        reason = first_line(error)
        if isinstance(error, OSError) or OUTSIDE.search(reason):
            raise StorageError(Path(location), reason) from error
        if "Unsupported" in reason:
            raise InvalidLakeError(
                f"{table.name} has features that the installed deltalake does not"
                f" support: {reason}",
                "Upgrade deltalake, or add --engine spark.",
            ) from error
        raise DamagedTableError(
            table.name, location, f"cannot be read: {reason}", None
        ) from error
    except BaseException as error:
        # No module exports the class of Rust panics.
        if type(error).__name__ != "PanicException":
            raise
        raise DamagedTableError(
            table.name, location, f"cannot be read: {first_line(error)}", None
        ) from error


def _unreadable(delta: DeltaTable) -> str:
    """Return why Arrow cannot read a version that delta-rs has opened; empty if Arrow
    can read the version.
    """
    for column in columns(delta):
        if "\0" in column.name:
            return f"the column name {column.name!r} has the character NUL"
    if "date" in partition(delta).values():
        try:
            _actions(delta, "path")
        except (ValueError, OverflowError):
            return "a partition value is not a date of the years 1 to 9999"
    return ""


def head(delta: DeltaTable) -> Head:
    """Return the state of the table at this version."""
    recent = _history(delta, until_note=True)
    note, foreign = newest_note(recent)
    data_version = newest_change(recent)
    # If the recent commits changed no rows, the last change of rows is in an older
    # commit.
    if data_version is None:
        data_version = _newest_change(delta)
    metadata = delta.metadata()
    partition = metadata.partition_columns[0] if metadata.partition_columns else ""
    prefix = "delta.constraints."
    constraints = frozenset(
        k[len(prefix) :].lower() for k in metadata.configuration if k.startswith(prefix)
    )
    return Head(
        str(metadata.id),
        delta.version(),
        data_version,
        note,
        foreign,
        columns(delta),
        partition,
        constraints,
    )


def notes(delta: DeltaTable, since: int) -> List[Optional[Note]]:
    """Return the notes of all commits that changed rows after version `since`. If the
    log no longer has all commits after `since`, the first item is None.
    """
    history = _history(delta)
    lost = [None] if not history or history[-1][0] > since + 1 else []
    return lost + [
        note
        for version, kind, note in history
        if version > since and kind not in MAINTENANCE
    ]


def settled(delta: DeltaTable, since: int) -> int:
    """Return the newest version that has the same rows as version `since`.

    The files of version `since` may have been deleted: compaction replaces files but
    not rows, and VACUUM deletes the replaced files.
    """
    ahead = delta.version() - since
    for version, operation, note in reversed(
        [_entry(commit) for commit in delta.history(ahead)] if ahead else []
    ):
        if version != since + 1 or (
            operation not in MAINTENANCE and (note is None or note.data)
        ):
            break
        since = version
    return since


def restored(delta: DeltaTable, since: int = -1) -> bool:
    """Return whether a RESTORE was committed after version `since`."""
    ahead = delta.version() - since
    return ahead > 0 and any(
        commit.get("operation") == "RESTORE" for commit in delta.history(ahead)
    )


def _history(delta: DeltaTable, until_note: bool = False) -> List[Commit]:
    """Return the commits, newest first.

    If `until_note` is true and one of the newest commits has a note, only the newest
    commits are returned.
    """
    recent = [_entry(commit) for commit in delta.history(RECENT)]
    if (until_note and any(note for _, _, note in recent)) or len(recent) < RECENT:
        return recent
    return [_entry(commit) for commit in delta.history()]


def _entry(commit: Dict[str, Any]) -> Commit:
    return (
        int(commit["version"]),
        str(commit.get("operation", "")),
        Note.parse(commit.get("userMetadata")),
    )


def _newest_change(delta: DeltaTable) -> int:
    """Return the newest version that changed rows, or the oldest version in the log."""
    history = _history(delta)
    changed = newest_change(history)
    return history[-1][0] if changed is None else changed


def columns(delta: DeltaTable) -> Tuple[Column, ...]:
    """Return the columns of the stored schema."""
    fields = json.loads(delta.schema().to_json())["fields"]
    return tuple(
        Column(
            field["name"],
            _type(field["type"]),
            not field["nullable"],
            str(field.get("metadata", {}).get("comment", "")),
        )
        for field in fields
    )


def _type(stored: Any) -> Any:
    """Return the name that lakekit uses for a stored type. If lakekit does not know the
    type, return its stored name.
    """
    return (
        FROM_DELTA.get(stored, stored)
        if isinstance(stored, str)
        else str(stored["type"])
    )


def partition(delta: DeltaTable) -> Dict[str, Type]:
    """Return the name and stored type of the partition column. The result is empty if
    the table is not partitioned.
    """
    names = delta.metadata().partition_columns
    return {
        column.name: column.type for column in columns(delta) if column.name in names
    }


def columns_to_keep(table: Table, delta: DeltaTable) -> Tuple[Column, ...]:
    """Return the declared columns. For a bronze or quarantine table, add the stored
    columns that are not declared.
    """
    names = {column.name for column in table.columns}
    more = columns(delta) if table.source or table.layer == "quarantine" else ()
    return table.columns + tuple(column for column in more if column.name not in names)


def schema(declared: Sequence[Column]) -> Schema:
    """Return the Delta schema of the columns, with their comments."""
    described = [
        {
            "name": c.name,
            "type": TO_DELTA.get(c.type, c.type),
            "nullable": not c.required,
            "metadata": {"comment": c.comment} if c.comment else {},
        }
        for c in declared
    ]
    return Schema.from_json(json.dumps({"type": "struct", "fields": described}))


def arrow_schema(declared: Sequence[Column]) -> pa.Schema:
    """Return the Arrow schema of the columns."""
    import pyarrow as pa

    # PyArrow's stubs do not declare that `schema` accepts objects with the Arrow C
    # interface.
    found: pa.Schema = pa.schema(schema(declared))  # type: ignore[arg-type]  # stubs
    return found


def completed(rows: pa.Table, delta: DeltaTable) -> pa.Table:
    """Return the rows of a file with all columns of the table, in the table's order. If
    a column is not in the file, its values are null.
    """
    import pyarrow as pa

    stored = columns(delta)
    for column in stored:
        if column.name not in rows.column_names:
            rows = rows.append_column(column.name, pa.nulls(rows.num_rows, pa.string()))
    return rows.select([column.name for column in stored])


def fields(declared: Sequence[Column]) -> List[Field]:
    """Return the Delta fields of the columns."""
    return list(schema(declared).fields)


def create(table: Table, location: str) -> None:
    """Create an empty table. If the table already exists, it is not changed."""
    DeltaTable.create(
        location,
        schema(table.columns),
        mode="ignore",
        partition_by=[table.partition] if table.partition else None,
        name=table.name,
        description=table.comment or None,
        configuration=dict(TABLE_PROPERTIES),
    )
    _remove_stray(location)


def uris(delta: DeltaTable) -> List[str]:
    """Return the URIs of the version's data files."""
    return list(delta.file_uris())


def _actions(delta: DeltaTable, *names: str) -> Dict[str, List[Any]]:
    """Return the `add` actions of the log as columns. Each column of the result has one
    value for each data file.

    The result has the partition column, and each requested column that is in the log.
    If the version has no files, the result is empty, because delta-rs 1.2 would panic.
    """
    if not delta.file_uris():
        return {}
    actions: Any = delta.get_add_actions(flatten=True)
    wanted = [
        name
        for name in actions.schema.names
        if name in names or name.startswith("partition.")
    ]
    return {name: actions.column(name).to_pylist() for name in wanted}


def record_counts(delta: DeltaTable) -> List[Optional[int]]:
    """Return the number of rows of each data file. The number is None for a file that
    has no statistics in the log.
    """
    found = _actions(delta, "path", "num_records")
    return found.get("num_records", [None for _ in found.get("path", [])])


def file_sizes(delta: DeltaTable) -> Dict[str, int]:
    """Return the sizes of the version's data files in bytes, by path in the table."""
    found = _actions(delta, "path", "size_bytes")
    return dict(zip(found.get("path", []), found.get("size_bytes", [])))


def identity(delta: DeltaTable) -> str:
    """Return a digest of the version's content in the log: the table's id, its schema
    and its data files.

    The table's id and the version number are not enough, because two histories of a
    table may have the same table id and the same version number.
    """
    found = _actions(delta, "path", "size_bytes", "modification_time")
    files = sorted(map(repr, zip(*(found[name] for name in sorted(found)))))
    content = [str(delta.metadata().id), delta.schema().to_json(), *files]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()


def gains_by_compaction(delta: DeltaTable) -> bool:
    """Return whether any partition has at least two small files to compact."""
    found = _actions(delta, "size_bytes")
    sizes = found.pop("size_bytes", [])
    small: Dict[Tuple[Any, ...], int] = {}
    for size, *partition in zip(sizes, *found.values()):
        if size < SMALL_FILE:
            small[tuple(partition)] = small.get(tuple(partition), 0) + 1
    return any(count > 1 for count in small.values())


def first_line(error: BaseException) -> str:
    """Return the first line of a delta-rs error. Further lines have locations in the
    code of delta-rs.
    """
    return str(error).strip().partition("\n")[0]


def _remove_stray(location: str) -> None:
    """Delete an empty folder that delta-rs before 1.6 creates in addition to a new
    table. The folder's name is the URL-encoded path of the table.
    """
    folder, stray = Path(location), Path(quote(location))
    while stray != folder and stray.is_dir() and not any(stray.iterdir()):
        stray.rmdir()
        stray = stray.parent
