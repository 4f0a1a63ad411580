"""What an engine does for a run: keep Delta tables and answer SQL. `embedded` and
`spark` are the two there are.

The logic of a run (`lakekit.commands.run`, `lakekit.transforms.updates`) is written
once, as SQL that both engines take as it stands: lower-case names, joins, `row_number`,
`count(*)`, `case`. What differs between them stands behind these methods.
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
"""Operations in a Delta history that leave the rows as they were, in Spark's names
and in delta-rs'.
"""

TABLE_PROPERTIES: Mapping[str, str] = {"delta.enableChangeDataFeed": "true"}
"""Of every table. Features that not every supported writer handles stay off;
`FORBIDDEN_FEATURES` are refused.
"""

SWITCHED_OFF: Mapping[str, str] = {
    "delta.enableDeletionVectors": "false",
    "delta.columnMapping.mode": "none",
    "delta.enableRowTracking": "false",
    "delta.enableTypeWidening": "false",
    "delta.checkpointPolicy": "classic",
}
"""Of every table on Databricks, where a workspace may have these on by default;
delta-rs or an older Spark then could not read or write the table. Elsewhere they are
off, and even naming them asks for table features.
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
    """What lakekit writes into a commit, as JSON under `lakekit` in the commit's user
    metadata.

    Attributes:
        digest: of the declaration and the SQL that the rows were made by.
        reads: each table read: its Delta table id, and the version up to which its rows
            are in.
        data: false for a commit that changes no row and only moves `reads` on.
        misfits: for a bronze file, how many of its values do not convert to the
            declared types.
    """

    digest: str = ""
    reads: Mapping[str, Tuple[str, int]] = field(default_factory=dict)
    data: bool = True
    misfits: int = 0

    def text(self) -> str:
        """The note as it goes into the commit."""
        return json.dumps({"lakekit": asdict(self)}, sort_keys=True)

    @classmethod
    def parse(cls, text: Optional[str]) -> Optional[Note]:
        """The note of a commit; None for the commit of another writer."""
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
            )
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True)
class Head:
    """A table as it is.

    Attributes:
        id: Delta's table id: another one is another table, made under the same name.
        version: the newest version.
        data_version: the newest version that changed a row; later ones are maintenance.
        note: of the newest commit that lakekit made to the rows; None where there is
            none.
        foreign: another writer changed rows after that.
        columns: names, types and required or not, as stored; a type that lakekit does
            not know stands in its own name.
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
        """The table after a commit of rows, or of a note alone, to this version."""
        data_version = version if note.data else self.data_version
        return replace(
            self, version=version, data_version=data_version, note=note, foreign=False
        )


@dataclass(frozen=True)
class FileInspection:
    """A source file that was read to its end: its rows, and by column the values that
    do not convert.
    """

    rows: int
    misfits: Mapping[str, int]


@dataclass(frozen=True)
class Staged:
    """Rows computed for a table and not yet part of it, readable in SQL by the name of
    `view`.
    """

    view: str
    rows: int


class Engine(Protocol):
    """One connection to one lake; a context manager that clears up what was staged and
    never committed.
    """

    name: str

    def __enter__(self) -> Engine: ...

    def __exit__(self, *_: object) -> None: ...

    def head(self, table: Table) -> Optional[Head]:
        """The table as it is; None when there is none. Raises StorageError,
        DamagedTableError for one that cannot be read, InvalidLakeError for a forbidden
        feature.
        """

    def damaged_files(self, table: Table) -> Mapping[str, str]:
        """The data files of the version that `head` last saw that are missing or of
        another size than the log says: path or URL of each, and what is wrong. Raises
        StorageError.

        Spark finds none in a lake that is not a folder; there, reading the rows raises
        DamagedTableError.
        """

    def rows(self, table: Table) -> int:
        """How many rows the newest version has."""

    def create(self, table: Table) -> None:
        """Make the empty table: columns with comments, partitioning, properties, CHECK
        constraints. Idempotent: one that another writer has made meanwhile stands.
        """

    def add_columns(self, table: Table, columns: Sequence[Column]) -> None:
        """Add columns that may be null."""

    def add_constraint(self, table: Table, name: str, sql: str) -> None:
        """Add a CHECK constraint that all rows meet."""

    def drop_constraint(self, table: Table, name: str) -> None:
        """Drop a CHECK constraint."""

    def ingested(self, table: Table, digests: Sequence[str]) -> FrozenSet[str]:
        """Those of the digests whose files a bronze table holds rows of."""

    def inspect(
        self, table: Table, opened: OpenedFile, at: datetime.datetime
    ) -> FileInspection:
        """Read a source file to its end, to be appended as ingested at that time.
        Raises SourceError where it is malformed.
        """

    def append(self, table: Table, opened: OpenedFile, note: Note) -> Optional[int]:
        """Append an inspected file, with its origin, in one commit that carries a Delta
        transaction identifier of its content; the new version, or None when the table
        already has it.
        """

    def read(self, table: Table, view: str) -> None:
        """Define a view over the version that `head` last saw, or the newest where it
        has not: the declared columns and no others, in the declared types.
        """

    def changes(self, table: Table, since: int, view: str) -> bool:
        """Define a view over the net difference between version `since` and the newest:
        the columns, and `_sign`, +n for a row that came n times and -n for one that
        went. False when that version can no longer be read, and when the table was set
        back since: that version may be damaged.
        """

    def notes(self, table: Table, since: int) -> List[Optional[Note]]:
        """The notes of all commits after that version that changed rows; None for each
        of another writer's.
        """

    def define(self, view: str, sql: str) -> None:
        """Define a view by SQL that both engines understand."""

    def keep(self, view: str, sql: str) -> int:
        """Compute SQL once, keep the rows under that name, and count them. For few
        rows.
        """

    def query(self, sql: str) -> List[Tuple[Any, ...]]:
        """All rows of SQL that both engines understand; timestamps are aware."""

    def misfit(self, column: Column, source: Source) -> str:
        """SQL that is true of a string that does not convert to the column's type, or
        is missing where it may not be.
        """

    def predicate(self, table: str, sql: str) -> str:
        """A declared predicate in this engine's SQL. Raises UnsupportedSqlError."""

    def transform(self, table: Table, sql: str, views: Mapping[str, str]) -> str:
        """The table's SQL file in this engine's SQL, its tables replaced by views.
        Raises UnsupportedSqlError, DeclarationError where it reads other tables than
        declared.
        """

    def stage(self, table: Table, view: str, sql: str, part: bool = False) -> Staged:
        """Compute the rows of a table, each column as declared, and let them be read as
        `view`; `part` says that they will be committed with `keys`, beside rows that
        are there. Raises ComputeError, and DeclarationError where names or types differ
        from the declaration (integers may differ in width).
        """

    def commit(
        self,
        table: Table,
        staged: Staged,
        head: Head,
        note: Note,
        keys: Optional[str] = None,
    ) -> int:
        """Make staged rows part of the table in one Delta commit; the version.

        Without `keys` they become the whole content. With the name of a view that holds
        key columns, rows of the table with those keys go and the staged rows come.
        Raises ConflictError when the table has moved on from `head`, ComputeError for a
        null in a required column or a broken CHECK constraint.
        """

    def advance(self, table: Table, head: Head, note: Note) -> int:
        """Commit a note and no row. Raises ConflictError."""

    def optimize(self, table: Table) -> Mapping[str, int]:
        """Compact small files: `files_removed`, `files_added`; no commit where nothing
        is gained.
        """

    def versions(self, table: Table) -> Tuple[Version, ...]:
        """Every version that the table's log has, newest first; none for no table. No
        version is opened, so the newest may be one that cannot be read. Raises
        DamagedLogError.
        """

    def restore(self, table: Table, version: int, dry_run: bool) -> RestoreOutcome:
        """Make a whole version of the table the newest by a commit, or (`dry_run`) only
        count its files. Raises ConflictError, UnrestorableVersionError,
        InvalidLakeError for a table with other features than lakekit's.
        """

    def vacuum(self, table: Table, hours: int, dry_run: bool) -> List[str]:
        """Delete (or list) the files that no version of the last `hours` names,
        relative to the table.
        """
