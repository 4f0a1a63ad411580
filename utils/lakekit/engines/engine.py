"""The interface of an engine, which stores Delta tables and runs SQL for a lake.

The two engines are `embedded` and `spark`. The logic of a run (`lakekit.commands.run`,
`lakekit.transforms.updates`) is written once, as SQL that both engines accept:
lower-case names, joins, `row_number`, `count(*)`, `case`. The methods here hide the
differences.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, FrozenSet, List, Mapping, Optional, Protocol, Sequence, Tuple

from lakekit.declarations.tables import Column, Source, Table
from lakekit.sources.files import OpenedFile
from lakekit.storage.log_restore import RestoreOutcome
from lakekit.storage.versions import Version

MAINTENANCE = frozenset(
    {
        "CREATE TABLE",
        "OPTIMIZE",
        "VACUUM START",
        "VACUUM END",
        "ADD CONSTRAINT",
        "DROP CONSTRAINT",
        "SET TBLPROPERTIES",
    }
    | {
        "ADD COLUMN",
        "ADD COLUMNS",
        "CHANGE COLUMN",
        "UPDATE COLUMN METADATA",
        "UPDATE FIELD METADATA",
        "FSCK",
    }
    | {"UPDATE TABLE METADATA", "SET TABLE COMMENT"}
)
"""Operations in a Delta history that do not change rows, by their names in Spark and in
delta-rs.
"""

TABLE_PROPERTIES: Mapping[str, str] = {"delta.enableChangeDataFeed": "true"}
"""Properties of every table. Features that some supported writers do not handle stay
off; `FORBIDDEN_FEATURES` are refused.
"""

SWITCHED_OFF: Mapping[str, str] = {
    "delta.enableDeletionVectors": "false",
    "delta.columnMapping.mode": "none",
    "delta.enableRowTracking": "false",
    "delta.enableTypeWidening": "false",
    "delta.checkpointPolicy": "classic",
}
"""Properties of every table on Databricks, where a workspace may enable these features
by default; delta-rs or an older Spark then could not read or write the table.

Elsewhere they are off by default, and setting the properties would require table
features.
"""

FORBIDDEN_FEATURES: Tuple[str, ...] = (
    "deletionVectors",
    "columnMapping",
    "clustering",
    "generatedColumns",
    "timestampNtz",
)


@dataclass(frozen=True)
class Note:
    """The metadata that lakekit adds to a commit, as JSON under `lakekit` in the
    commit's user metadata.

    Attributes:
        digest: digest of the declaration and the SQL that produced the rows.
        reads: by input table, its Delta table id and the version up to which its rows
            are included.
        data: false for a commit that changes no row and only updates `reads`.
        misfits: for a bronze file, the number of values that do not convert to their
            declared types.
        at: for a bronze file, the ingestion time of its rows, in ISO 8601. No row of
            the table has a later one.
    """

    digest: str = ""
    reads: Mapping[str, Tuple[str, int]] = field(default_factory=dict)
    data: bool = True
    misfits: int = 0
    at: str = ""

    def text(self) -> str:
        """Return the note as JSON, for the commit."""
        return json.dumps({"lakekit": asdict(self)}, sort_keys=True)

    @classmethod
    def parse(cls, text: Optional[str]) -> Optional[Note]:
        """Return the note of a commit; None for a commit of another writer."""
        try:
            content = json.loads(text or "")["lakekit"]
            reads = {
                name: (str(found[0]), int(found[1]))
                for name, found in content["reads"].items()
            }
            return cls(
                str(content["digest"]),
                reads,
                bool(content["data"]),
                int(content["misfits"]),
                str(content.get("at", "")),  # notes of older versions have none
            )
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True)
class Head:
    """The newest state of a table.

    Attributes:
        id: Delta's table id; a table that was recreated under the same name has
        another. version: the newest version.
        data_version: the newest version that changed a row; later ones are maintenance.
        note: the note of lakekit's newest commit that changed rows; None if there is
            none.
        foreign: whether another writer changed rows after that commit.
        columns: names, types and nullability, as stored; a type that lakekit does not
            know has its own name.
        constraints: names of the CHECK constraints, in lower case.
    """

    id: str
    version: int
    data_version: int
    note: Optional[Note]
    foreign: bool
    columns: Tuple[Column, ...]
    partition: str
    constraints: FrozenSet[str]

    def after(self, version: int, note: Note) -> Head:
        """Return the state after a commit of rows, or of a note only, with this
        version.
        """
        data_version = version if note.data else self.data_version
        return replace(
            self, version=version, data_version=data_version, note=note, foreign=False
        )


@dataclass(frozen=True)
class FileInspection:
    """The result of reading a whole source file: its number of rows, and by column the
    number of values that do not convert.
    """

    rows: int
    misfits: Mapping[str, int]


@dataclass(frozen=True)
class Staged:
    """Rows that are computed for a table but not committed yet; SQL reads them as
    `view`.
    """

    view: str
    rows: int


class Engine(Protocol):
    """A connection to one lake. As a context manager it deletes staged rows that were
    not committed.
    """

    name: str
    version: str
    """The name and the version of the program that runs the SQL."""

    def __enter__(self) -> Engine: ...

    def __exit__(self, *_: object) -> None: ...

    def head(self, table: Table) -> Optional[Head]:
        """Return the newest state of a table; None if it does not exist. Raises
        StorageError; DamagedTableError if it cannot be read; InvalidLakeError for an
        unsupported feature.
        """

    def damaged_files(self, table: Table) -> Mapping[str, str]:
        """Return the data files that are missing or have another size than in the log:
        their path or URL, and the reason. Checks the version that `head` last read.
        Raises StorageError, DamagedLogError.

        Spark finds none in a lake that is not a folder; there, reading the rows raises
        DamagedTableError.
        """

    def rows(self, table: Table) -> int:
        """Return the number of rows of the newest version."""

    def create(self, table: Table) -> None:
        """Create an empty table: columns with comments, partitioning, properties, CHECK
        constraints. Idempotent: a table that another writer created meanwhile is not
        changed.
        """

    def add_columns(self, table: Table, columns: Sequence[Column]) -> None:
        """Add nullable columns."""

    def add_constraint(self, table: Table, name: str, sql: str) -> None:
        """Add a CHECK constraint that all rows meet."""

    def drop_constraint(self, table: Table, name: str) -> None:
        """Drop a CHECK constraint."""

    def ingested(self, table: Table, digests: Sequence[str]) -> FrozenSet[str]:
        """Return those of the digests whose files have rows in a bronze table."""

    def inspect(
        self, table: Table, opened: OpenedFile, at: datetime.datetime
    ) -> FileInspection:
        """Read a whole source file, to be appended with that ingestion time. Raises
        SourceError if it is malformed.
        """

    def append(self, table: Table, opened: OpenedFile, note: Note) -> Optional[int]:
        """Append an inspected file, with its origin columns, in one commit. The commit
        has a Delta transaction identifier of the content. Return the new version, or
        None if the table already has the file.
        """

    def read(self, table: Table, view: str) -> None:
        """Define a view of the version that `head` last read, or else of the newest:
        only the declared columns, in their declared types.
        """

    def changes(self, table: Table, since: int, view: str) -> bool:
        """Define a view of the net difference between version `since` and the newest:
        the columns, and `_sign`, +n for a row that was added n times and -n for a row
        that was removed n times. Return False if that version can no longer be read, or
        if the table was restored since, because that version may be damaged.
        """

    def notes(self, table: Table, since: int) -> List[Optional[Note]]:
        """Return the notes of all commits after that version that changed rows; None
        for a commit of another writer.
        """

    def define(self, view: str, sql: str) -> None:
        """Define a view by SQL that both engines accept."""

    def define_empty(self, table: Table, view: str) -> None:
        """Define a view without rows that has the declared columns of a table."""

    def keep(self, view: str, sql: str) -> int:
        """Run SQL once, store its few rows under that name, and count them."""

    def query(self, sql: str) -> List[Tuple[Any, ...]]:
        """Return all rows of SQL that both engines accept; timestamps are aware."""

    def misfit(self, column: Column, source: Source) -> str:
        """Return SQL that is true for a string that does not convert to the column's
        type, or that is missing in a required column.
        """

    def predicate(self, table: str, sql: str) -> str:
        """Return a predicate in this engine's SQL. Raises UnsupportedSqlError."""

    def transform(self, table: Table, sql: str, views: Mapping[str, str]) -> str:
        """Return the table's SQL in this engine's SQL, its tables replaced by views.
        Raises UnsupportedSqlError; DeclarationError if it reads other tables than
        declared.
        """

    def check(self, table: Table, where: str, sql: str) -> None:
        """Check SQL that gives the rows of a table, without running it. Raises
        DeclarationError, whose text starts with `where`, for SQL that the engine
        refuses or that gives other names or types than declared.
        """

    def stage(self, table: Table, view: str, sql: str, part: bool = False) -> Staged:
        """Compute the rows of a table in their declared types, readable as `view`.
        `part` means that they will be committed with `keys` and added to existing rows.

        Raises ComputeError; DeclarationError if names or types differ from the
        declaration (integers may differ in width).
        """

    def commit(
        self,
        table: Table,
        staged: Staged,
        head: Head,
        note: Note,
        keys: Optional[str] = None,
    ) -> int:
        """Commit staged rows to the table in one Delta commit, and return the version.

        Without `keys` they replace the whole content. With the name of a view of key
        columns, they replace the rows with those keys. Raises ConflictError if the
        table has changed since `head`; ComputeError for a null in a required column or
        a violated CHECK constraint.
        """

    def advance(self, table: Table, head: Head, note: Note) -> int:
        """Commit a note without rows. Raises ConflictError."""

    def optimize(self, table: Table) -> Mapping[str, int]:
        """Compact small files. Return `files_removed`, `files_added`; makes no commit
        if compaction gains nothing.
        """

    def versions(self, table: Table) -> Tuple[Version, ...]:
        """Return all versions in the table's log, newest first; empty if there is no
        table. No version is opened, so the newest may be unreadable. Raises
        DamagedLogError.
        """

    def check_log(self, table: Table) -> None:
        """Raise DamagedLogError for the first commit in the log with a fault."""

    def restore(self, table: Table, version: int, dry_run: bool) -> RestoreOutcome:
        """Restore an undamaged version of the table with a commit, or (`dry_run`) only
        count its files. Raises ConflictError, UnrestorableVersionError;
        InvalidLakeError for a table with features that lakekit does not use.
        """

    def vacuum(self, table: Table, hours: int, dry_run: bool) -> List[str]:
        """Delete (or list) the files that no version of the last `hours` uses, relative
        to the table.
        """
