"""The interface of an engine, which stores Delta tables and runs SQL for a lake.

The two engines are `embedded` and `spark`. The logic of a run (`lakekit.commands.run`,
`lakekit.transforms.updates`) is written once, in SQL that both engines accept:
lower-case names, joins, `row_number`, `count(*)`, `case`. The methods of an engine hide
all other differences between the engines.
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
"""The operations that do not change rows, by the names that Spark and delta-rs write to
the Delta history.
"""

TABLE_PROPERTIES: Mapping[str, str] = {"delta.enableChangeDataFeed": "true"}
"""Properties of every table. The properties enable only features that all supported
writers can handle. Tables that have any of `FORBIDDEN_FEATURES` are refused.
"""

SWITCHED_OFF: Mapping[str, str] = {
    "delta.enableDeletionVectors": "false",
    "delta.columnMapping.mode": "none",
    "delta.enableRowTracking": "false",
    "delta.enableTypeWidening": "false",
    "delta.checkpointPolicy": "classic",
}
"""Additional properties of every table on Databricks. The properties switch off
features that a workspace may enable by default, but that delta-rs or an older Spark
cannot handle.

Outside Databricks, these features are off by default. Outside Databricks, the
properties are not set, because they would require table features.
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
    """The metadata of a commit by lakekit. The note is stored as JSON under the key
    `lakekit` in the commit's user metadata.

    Attributes:
        digest: digest of the declaration and the SQL that produced the rows.
        reads: for each input table, its Delta id, and the version up to which the rows
            of the input table are included.
        data: false if the commit changes no row and only updates `reads`.
        misfits: for a bronze file, the number of values that do not convert to their
            declared types.
        at: for a bronze file, the ingestion time of its rows, in ISO 8601. No row of
            the table has a later ingestion time.
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
        """Return the note in the user metadata of a commit; None for a commit of
        another writer.
        """
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
                str(content.get("at", "")),  # not in the oldest notes
            )
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True)
class Head:
    """The newest state of a table.

    Attributes:
        id: Delta's table id. The id changes if the table is deleted and created again
            under the same name.
        version: the newest version.
        data_version: the newest version that changed a row. All later versions are
            maintenance, which changes no rows.
        note: the note in the newest commit of lakekit that changed rows; None if no
            commit of lakekit changed rows.
        foreign: whether another writer changed rows after the commit of `note`.
        columns: names, types and nullability, as stored. If lakekit does not know a
            type, the column has the stored name of the type.
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
        """Return the state after a commit with this version and this note. The commit
        may change rows or only write the note.
        """
        data_version = version if note.data else self.data_version
        return replace(
            self, version=version, data_version=data_version, note=note, foreign=False
        )


@dataclass(frozen=True)
class FileInspection:
    """The result of reading a whole source file: the number of rows and, for each
    column, the number of values that do not convert to the column's type.
    """

    rows: int
    misfits: Mapping[str, int]


@dataclass(frozen=True)
class Staged:
    """Rows that are computed for a table but not committed yet. SQL can read the rows
    from `view`.
    """

    view: str
    rows: int


class Engine(Protocol):
    """A connection to one lake. When the context of an engine ends, the engine deletes
    staged rows that were not committed.
    """

    name: str
    version: str
    """The name and the version of the program that runs the SQL."""

    def __enter__(self) -> Engine: ...

    def __exit__(self, *_: object) -> None: ...

    def head(self, table: Table) -> Optional[Head]:
        """Return the newest state of a table; None if the table does not exist.

        Raises StorageError if the lake cannot be reached; DamagedTableError if the
        table cannot be read; InvalidLakeError if the table has an unsupported feature.
        """

    def damaged_files(self, table: Table) -> Mapping[str, str]:
        """Return the data files that are missing, or whose size differs from the size
        in the log. The result maps the path or URL of each damaged file to a
        description of the damage.

        Checks the version that `head` last read. Spark can only check files in a
        folder. For a lake that is not a folder, Spark's result is empty, and
        DamagedTableError is raised when rows of a damaged file are read.

        Raises StorageError if the lake cannot be reached; DamagedLogError if the log is
        damaged.
        """

    def rows(self, table: Table) -> int:
        """Return the number of rows of the newest version."""

    def create(self, table: Table) -> None:
        """Create an empty table, with columns, comments, partitioning, properties and
        CHECK constraints.

        If another writer has already created the table, it is not changed.
        """

    def add_columns(self, table: Table, columns: Sequence[Column]) -> None:
        """Add nullable columns."""

    def add_constraint(self, table: Table, name: str, sql: str) -> None:
        """Add a CHECK constraint that all existing rows already satisfy."""

    def drop_constraint(self, table: Table, name: str) -> None:
        """Drop a CHECK constraint."""

    def ingested(self, table: Table, digests: Sequence[str]) -> FrozenSet[str]:
        """Return the digests of files that have rows in a bronze table."""

    def inspect(
        self, table: Table, opened: OpenedFile, at: datetime.datetime
    ) -> FileInspection:
        """Read a whole source file. `at` is the ingestion time that `append` will
        write.

        Raises SourceError if the file is malformed.
        """

    def append(self, table: Table, opened: OpenedFile, note: Note) -> Optional[int]:
        """Append the rows of an inspected file, with their origin columns, in one
        commit.

        The content of the file determines the Delta transaction identifier of the
        commit. Returns the new version, or None if the table already has the file.
        """

    def read(self, table: Table, view: str) -> None:
        """Define a view that has only the declared columns of a table, in their
        declared types.

        The view reads the version that `head` last read, or the newest version if
        `head` was not called.
        """

    def changes(self, table: Table, since: int, view: str) -> bool:
        """Define a view of the net difference between version `since` and the newest
        version.

        The view has the table's columns and `_sign`: +n for a row that was added n
        times, -n for a row that was removed n times. Returns False if version `since`
        can no longer be read, or if the table was restored after version `since`,
        because the restored version may be damaged.
        """

    def notes(self, table: Table, since: int) -> List[Optional[Note]]:
        """Return the notes of all commits that changed rows after version `since`. For
        a commit of another writer, the item is None.
        """

    def define(self, view: str, sql: str) -> None:
        """Define a view. `sql` must be SQL that both engines accept."""

    def define_empty(self, table: Table, view: str) -> None:
        """Define a view without rows that has the declared columns of a table."""

    def keep(self, view: str, sql: str) -> int:
        """Run SQL once, store the result as `view`, and return the number of rows. The
        result is expected to be small.
        """

    def query(self, sql: str) -> List[Tuple[Any, ...]]:
        """Run SQL that both engines accept, and return all rows. Timestamps are
        datetimes with a time zone.
        """

    def misfit(self, column: Column, source: Source) -> str:
        """Return SQL that is true for a string that does not convert to the column's
        type. The SQL is also true for a missing value in a required column.
        """

    def predicate(self, table: str, sql: str) -> str:
        """Return a declared predicate in the SQL of this engine. Raises
        UnsupportedSqlError.
        """

    def transform(self, table: Table, sql: str, views: Mapping[str, str]) -> str:
        """Return the declared SQL of a table in the SQL of this engine. In the result,
        the views in `views` replace the tables.

        Raises UnsupportedSqlError if the SQL is not allowed; DeclarationError if the
        SQL does not read exactly the declared tables.
        """

    def check(self, table: Table, where: str, sql: str) -> None:
        """Check SQL that returns the rows of a table. The SQL is not run.

        Raises DeclarationError if the engine refuses the SQL, or if the names or types
        of the columns differ from the declaration. The text of the error starts with
        `where`.
        """

    def stage(self, table: Table, view: str, sql: str, part: bool = False) -> Staged:
        """Compute the rows of a table, whose columns get their declared types. SQL can
        then read these rows from `view`.

        If `part` is true, `commit` will be called with `keys`, so that existing rows
        with other keys stay in the table. Raises ComputeError if the SQL fails on the
        data; DeclarationError if names or types differ from the declaration (integers
        may differ in width).
        """

    def commit(
        self,
        table: Table,
        staged: Staged,
        head: Head,
        note: Note,
        keys: Optional[str] = None,
    ) -> int:
        """Commit staged rows to the table in one Delta commit, and return the new
        version.

        Without `keys`, the staged rows replace all rows. If `keys` is the name of a
        view with key columns, the staged rows replace only the rows with these keys.

        Raises ConflictError if the table has changed since `head`; ComputeError for a
        null in a required column or a violated CHECK constraint.
        """

    def advance(self, table: Table, head: Head, note: Note) -> int:
        """Commit a note without rows, and return the new version. Raises ConflictError
        if the table has changed since `head`.
        """

    def optimize(self, table: Table) -> Mapping[str, int]:
        """Compact small files. Returns the numbers `files_removed` and `files_added`.
        If compaction would gain nothing, no commit is made.
        """

    def versions(self, table: Table) -> Tuple[Version, ...]:
        """Return all versions in the table's log, newest first. The result is empty if
        the table does not exist.

        No version is opened, so the newest version may be unreadable. Raises
        DamagedLogError if the log is damaged.
        """

    def check_log(self, table: Table) -> None:
        """Raise DamagedLogError for the first faulty commit in the log."""

    def restore(self, table: Table, version: int, dry_run: bool) -> RestoreOutcome:
        """Restore an undamaged version of the table with one commit. If `dry_run` is
        true, only count the files to add and to remove.

        Raises ConflictError if another writer commits first; UnrestorableVersionError
        if the version cannot be restored; InvalidLakeError for a table with features
        that lakekit does not use.
        """

    def vacuum(self, table: Table, hours: int, dry_run: bool) -> List[str]:
        """Delete the files that no version of the last `hours` hours uses; if `dry_run`
        is true, only list these files.

        Returns the paths of these files, relative to the table.
        """
