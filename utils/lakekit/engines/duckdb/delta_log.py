"""What a Delta log says of a table, read by delta-rs, and the tables that lakekit makes
by it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple
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
from lakekit.storage.lake import Lake

try:
    from deltalake import DeltaTable, Field, Schema
    from deltalake.exceptions import DeltaError, TableNotFoundError
except ModuleNotFoundError as missing:
    raise MissingExtraError(str(missing.name), "embedded") from missing
if TYPE_CHECKING:
    import pyarrow as pa  # 40 ms, which most runs need not pay

# All others go by the same name.
TO_DELTA: Mapping[Type, str] = {"int": "integer", "bigint": "long"}
FROM_DELTA = {delta: ours for ours, delta in TO_DELTA.items()}
RECENT = 12
"""Commits looked at first: a whole history costs a read of every log file."""
SMALL_FILE = 32 << 20
OUTSIDE = re.compile(r"Generic \w+ error|[Pp]ermission denied|os error")
"""In what delta-rs says of a place that it cannot reach, rather than of what it read
there.
"""


def open_table(lake: Lake, table: Table) -> Optional[DeltaTable]:
    """The newest version; None when there is no such table. Raises StorageError,
    DamagedTableError, InvalidLakeError.
    """
    location = lake.location(table)
    if lake.kind == "schema":
        raise InvalidLakeError(
            f"The lake {lake} is a schema, which Spark knows by name",
            "Add --engine spark.",
        )
    if lake.kind == "folder" and not (Path(location) / "_delta_log").is_dir():
        return None
    try:
        delta = load(table, location)
    except TableNotFoundError:
        return None
    protocol = delta.protocol()
    if protocol.min_reader_version > 1:
        features = set(protocol.reader_features or ()) & set(FORBIDDEN_FEATURES) or {
            "columnMapping"
        }
        raise InvalidLakeError(
            f"{table.name} has {', '.join(sorted(features))} on, which not every"
            " supported writer handles",
            "Switch it off: ALTER TABLE ... DROP FEATURE ... (and REORG TABLE ... APPLY"
            " (PURGE) for deletion vectors).",
        )
    return delta


def load(table: Table, location: str, version: Optional[int] = None) -> DeltaTable:
    """A version, the newest by default. Raises TableNotFoundError, StorageError, and
    DamagedTableError for one that delta-rs or Arrow cannot read.
    """
    try:
        delta = DeltaTable(location, version=version)
        reason = _unreadable(delta)
    except TableNotFoundError:
        raise
    except (DeltaError, OSError, ValueError) as error:
        reason = first_line(error)
        if isinstance(error, OSError) or OUTSIDE.search(reason):
            raise StorageError(Path(location), reason) from error
        raise DamagedTableError(
            table.name, location, f"cannot be read: {reason}", None
        ) from error
    if reason:
        raise DamagedTableError(table.name, location, f"cannot be read: {reason}", None)
    return delta


def _unreadable(delta: DeltaTable) -> str:
    """Why Arrow cannot read a version that delta-rs opens; empty where it can."""
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
    """The table as it is."""
    recent = _history(delta, until_note=True)
    note, foreign = newest_note(recent)
    data_version = newest_change(recent)
    # Where lakekit's newest commits changed no row, an older one did.
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
    """The notes of all commits after that version that changed rows; None too for those
    that the log no longer has.
    """
    history = _history(delta)
    lost = [None] if not history or history[-1][0] > since + 1 else []
    return lost + [
        note
        for version, kind, note in history
        if version > since and kind not in MAINTENANCE
    ]


def settled(delta: DeltaTable, since: int) -> int:
    """The newest version whose rows are those of version `since`. Compaction leaves the
    rows and replaces the files, and the files of the version before it go by VACUUM.
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
    """Whether the table was set back to an older version after version `since`."""
    ahead = delta.version() - since
    return ahead > 0 and any(
        commit.get("operation") == "RESTORE" for commit in delta.history(ahead)
    )


def _history(delta: DeltaTable, until_note: bool = False) -> List[Commit]:
    """The commits, newest first; only the recent ones where they hold a note."""
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
    """The newest version that changed a row, or the oldest that the log has."""
    history = _history(delta)
    changed = newest_change(history)
    return history[-1][0] if changed is None else changed


def columns(delta: DeltaTable) -> Tuple[Column, ...]:
    """The columns as stored."""
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
    """Return lakekit's name of a stored type; an unknown type has its own name."""
    return (
        FROM_DELTA.get(stored, stored)
        if isinstance(stored, str)
        else str(stored["type"])
    )


def partition(delta: DeltaTable) -> Dict[str, Type]:
    """The partition column, if there is one, and its type as stored."""
    names = delta.metadata().partition_columns
    return {
        column.name: column.type for column in columns(delta) if column.name in names
    }


def columns_to_keep(table: Table, delta: DeltaTable) -> Tuple[Column, ...]:
    """The declared columns, and those that a bronze table has beside them."""
    names = {column.name for column in table.columns}
    more = columns(delta) if table.source or table.layer == "quarantine" else ()
    return table.columns + tuple(column for column in more if column.name not in names)


def schema(declared: Sequence[Column]) -> Schema:
    """Delta's schema of columns, with their comments."""
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
    """The same as Arrow has it."""
    import pyarrow as pa

    # What it is given offers the Arrow C interface, which the stubs do not know.
    found: pa.Schema = pa.schema(schema(declared))  # type: ignore[arg-type]  # stubs
    return found


def completed(rows: pa.Table, delta: DeltaTable) -> pa.Table:
    """A file's rows with every column of the table, in its order; nulls where an
    earlier file brought a column more.
    """
    import pyarrow as pa

    stored = columns(delta)
    for column in stored:
        if column.name not in rows.column_names:
            rows = rows.append_column(column.name, pa.nulls(rows.num_rows, pa.string()))
    return rows.select([column.name for column in stored])


def fields(declared: Sequence[Column]) -> List[Field]:
    """Delta's fields of columns."""
    return list(schema(declared).fields)


def create(table: Table, location: str) -> None:
    """An empty table; one that is there already stays as it is."""
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
    """The data files of the version."""
    return list(delta.file_uris())


def _actions(delta: DeltaTable, *names: str) -> Dict[str, List[Any]]:
    """Columns of the log's entries, one entry a file: those named that the log has, and
    the partition's value. Nothing where there is no file: delta-rs 1.2 panics.
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
    """Rows by file; None where the log does not say."""
    found = _actions(delta, "path", "num_records")
    return found.get("num_records", [None for _ in found.get("path", [])])


def file_sizes(delta: DeltaTable) -> Dict[str, int]:
    """Data files of the version, relative to the table, and their sizes in bytes."""
    found = _actions(delta, "path", "size_bytes")
    return dict(zip(found.get("path", []), found.get("size_bytes", [])))


def gains_by_compaction(delta: DeltaTable) -> bool:
    """Whether some partition has two files or more that are small."""
    found = _actions(delta, "size_bytes")
    sizes = found.pop("size_bytes", [])
    small: Dict[Tuple[Any, ...], int] = {}
    for size, *partition in zip(sizes, *found.values()):
        if size < SMALL_FILE:
            small[tuple(partition)] = small.get(tuple(partition), 0) + 1
    return any(count > 1 for count in small.values())


def first_line(error: BaseException) -> str:
    """What delta-rs says first; further lines are where in it it happened."""
    return str(error).strip().partition("\n")[0]


def _remove_stray(location: str) -> None:
    """delta-rs before 1.6 also makes an empty folder of the path's URL-encoded name
    when it creates a table.
    """
    folder, stray = Path(location), Path(quote(location))
    while stray != folder and stray.is_dir() and not any(stray.iterdir()):
        stray.rmdir()
        stray = stray.parent
