"""Classes to declare tables: columns, key, partitioning, checks, SQL and input tables.

The engines, the commands and the API read these declarations.
`lakekit.nyc_flights.tables` is an example of a set of tables.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Iterator, List, Literal, Optional, Tuple

from lakekit.declarations.fields import faults
from lakekit.errors import DeclarationError, UnknownTableError, nearest

Type = Literal["string", "boolean", "int", "bigint", "double", "date", "timestamp"]
"""Column types, by their names in Databricks. A timestamp is an instant that is stored
in UTC. There is no type for timestamps without a time zone.
"""

Severity = Literal["warn", "drop", "fail"]
"""The effect of a row that does not meet an expectation. `warn` only counts the row,
`drop` moves the row to quarantine, `fail` stops the run before the table is written.
"""

Update = Literal["append", "merge", "groups", "whole"]
"""How a table is updated from its input tables. `append` adds the rows of new files.
`merge` merges new bronze rows by key: the latest row of a key replaces older rows.
`groups` recomputes the groups (keys) of changed rows. `whole` recomputes the whole
table.
"""

DELTA_COLUMNS = ("_metadata", "_change_type", "_commit_version", "_commit_timestamp")
"""Names of columns that Spark or Delta's change data feed adds when rows are read."""
INNER = ("_sign", "_new", "_nth", "_rule", "_going", *DELTA_COLUMNS)
"""`DELTA_COLUMNS`, and names of columns that lakekit's SQL adds to rows. No declared
column may have one of these names.
"""

LAYERS = ("bronze", "silver", "quarantine", "gold")
IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True)
class Column:
    """A column of a table or of a source file.

    Attributes:
        required: whether the column is NOT NULL in Delta. In a source file, no value of
            a required column may be the text that means a missing value.
        tolerance: maximum relative difference that `diff` and parity tests allow
            between two values. Doubles need a tolerance, because the last bits of a sum
            depend on the order of the addends.
        volatile: whether the values may differ between two lakes that were built from
            the same files. `diff` ignores volatile columns.
    """

    name: str
    type: Type = "string"
    required: bool = False
    comment: str = ""
    tolerance: float = 0.0
    volatile: bool = False


@dataclass(frozen=True)
class Constraint:
    """A CHECK constraint, which every writer of the Delta table must enforce. As in
    Delta, a null result violates the constraint.
    """

    name: str
    sql: str


@dataclass(frozen=True)
class Expectation:
    """An SQL predicate that every row of a table should meet. If the result is null,
    the row does not meet the expectation.
    """

    name: str
    sql: str
    severity: Severity = "warn"


SOURCE_FILE = Column(
    "_source_file",
    required=True,
    comment="Path of the unpacked file, relative to the source folder",
)
SOURCE_SHA256 = Column(
    "_source_sha256", required=True, comment="Digest of the file's content"
)
SOURCE_ROW = Column(
    "_source_row",
    "bigint",
    required=True,
    comment="Row in the file; 1 is the first row after the header",
)
INGESTED_AT = Column(
    "_ingested_at",
    "timestamp",
    required=True,
    comment="When lakekit ingested the file",
    volatile=True,
)
ORIGIN = (SOURCE_FILE, SOURCE_SHA256, SOURCE_ROW, INGESTED_AT)
"""The columns for the origin of a row, in every bronze and merged table.
`_source_sha256` and `_source_row` together identify a row.
"""

LATEST = ("_source_file", "_ingested_at", "_source_row")
"""The default order that decides which of two rows with the same key is the latest.

The file name comes first, so the result does not depend on the order in which files
arrive. If a file was replaced by a file with the same name, the row that was ingested
later counts as the latest. Among rows of one file, the last row counts as the latest.
Ingestion times follow the order of commits, even if the clock was set back.
"""


@dataclass(frozen=True)
class Join:
    """How a merged table joins the input table `read`.

    `on` has pairs of columns whose values must be equal: a column of the input table,
    and a column of the merged table. When rows of the input table change, only the
    matching rows of the merged table are recomputed. If an input table has no Join, a
    change of this input table recomputes all rows of the merged table.
    """

    read: str
    on: Tuple[Tuple[str, str], ...]


@dataclass(frozen=True)
class Source:
    """The source files of one bronze table.

    In the source folder, a source is `NAME.csv`, `NAME.csv.zip`, `NAME.csv.gz`,
    `NAME.parquet`, or a subfolder NAME with any number of such files. `columns` defines
    the types to which silver tables cast the strings in bronze.

    Attributes:
        missing: the text that means a missing value in a file.
        misfits: from 0 to 1, the maximum share of a column's values that do not convert
            to the column's type. If a column of a file exceeds this share, the whole
            file is refused.
    """

    name: str
    columns: Tuple[Column, ...]
    missing: str = "NA"
    misfits: float = 0.05


@dataclass(frozen=True)
class Table:
    """A Delta table.

    Bronze tables have a `source`. Quarantine tables have neither a source nor SQL. All
    other tables have an `sql` file and input tables (`reads`). The first input table of
    a merged table is its bronze table.

    Attributes:
        key: columns that identify a row. In a table that is updated by `groups`, the
            key identifies a group. Every input table must have columns with the same
            names, which identify the group of a row.
        latest: for `merge`, columns that decide which row is the latest of several rows
            with the same key. If rows have equal values in these columns, `LATEST`
            decides.
        partition: a required column with few distinct values; empty if the table is not
            partitioned.
        joins: for `merge`, how the input tables after the first are joined.
    """

    name: str
    columns: Tuple[Column, ...]
    reads: Tuple[str, ...] = ()
    sql: str = ""
    source: Optional[Source] = None
    comment: str = ""
    key: Tuple[str, ...] = ()
    latest: Tuple[str, ...] = ()
    partition: str = ""
    constraints: Tuple[Constraint, ...] = ()
    expectations: Tuple[Expectation, ...] = ()
    update: Update = "whole"
    joins: Tuple[Join, ...] = ()

    @property
    def layer(self) -> str:
        """Return the layer: the part of the name before the dot. In a lake, a layer is
        a folder.
        """
        return self.name.partition(".")[0]

    @property
    def folder(self) -> Path:
        """Return the path of the table, relative to its lake."""
        return Path(*self.name.split("."))

    @property
    def quarantine(self) -> str:
        """Return the name of the quarantine table of a merged table; empty for other
        tables.
        """
        return (
            f"quarantine.{self.name.partition('.')[2]}"
            if self.update == "merge"
            else ""
        )

    @property
    def order(self) -> Tuple[str, ...]:
        """Return the columns that decide which of the rows with the same key is the
        latest. A later column decides only if the values of all earlier columns are
        equal.
        """
        return self.latest + tuple(name for name in LATEST if name not in self.latest)

    def __getitem__(self, name: str) -> Column:
        """Return the column `name`. Raises KeyError if the table has no column of this
        name.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def canonical(self) -> str:
        """Return the parts of the declaration that determine the table's rows, as text.

        The text does not contain comments, tolerances, CHECK constraints and the
        allowed share of invalid values. A change of these parts of a declaration
        changes no rows.
        """
        source = replace(self.source, misfits=0.0) if self.source else None
        parts = asdict(replace(self, comment="", constraints=(), source=source))
        columns = [
            *parts["columns"],
            *(parts["source"]["columns"] if parts["source"] else ()),
        ]
        for column in columns:
            for key in ("comment", "tolerance", "volatile"):
                del column[key]
        return json.dumps(parts, sort_keys=True)


def bronze(source: Source, comment: str = "") -> Table:
    """Return the bronze table of a source. The table has the source's columns, as
    strings, and the columns for the origin of each row.

    Raises DeclarationError if fields of the source have wrong types.
    """
    for what, next_step in faults(source):
        raise DeclarationError(f"bronze.{source.name}", what, next_step)
    strings = tuple(
        Column(c.name, required=True, comment=c.comment) for c in source.columns
    )
    return Table(
        f"bronze.{source.name}",
        strings + ORIGIN,
        source=source,
        comment=comment,
        update="append",
    )


def quarantine(table: Table, follows: Table) -> Table:
    """Return the quarantine table of a merged table. For each refused row, the
    quarantine table contains the row as it is in the bronze table `follows`, and the
    rule that the row violates.
    """
    rule = Column(
        "_rule",
        required=True,
        comment="The expectation or the type that the row does not meet",
    )
    key = ("_source_sha256", "_source_row")
    comment = f"Rows of {follows.name} that {table.name} refuses"
    return Table(
        table.quarantine,
        (*follows.columns, rule),
        (follows.name,),
        comment=comment,
        key=key,
    )


@dataclass(frozen=True)
class TableSet:
    """A set of tables and the folder of their SQL files.

    Every table must come after its input tables. The quarantine table of a merged table
    is added after the merged table. Raises DeclarationError for an invalid declaration;
    the SQL is checked by `lakekit.declarations.sql_checks`.
    """

    tables: Tuple[Table, ...]
    sql: Path

    def __post_init__(self) -> None:
        # `checks` imports the classes above, so `checks` can only be imported here.
        from lakekit.declarations.checks import check_set, check_table

        check_set(self)
        complete: List[Table] = []
        for table in self.tables:
            check_table(table, {each.name: each for each in complete})
            complete.append(table)
            if table.update == "merge":
                follows = next(each for each in complete if each.name == table.reads[0])
                complete.append(quarantine(table, follows))
        object.__setattr__(self, "tables", tuple(complete))
        object.__setattr__(self, "sql", Path(self.sql))

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)

    def __getitem__(self, name: str) -> Table:
        """Return the table `name`. If no table has this name, raises UnknownTableError,
        which contains the most similar name.
        """
        for table in self.tables:
            if table.name == name:
                return table
        names = [table.name for table in self.tables]
        raise UnknownTableError(name, nearest(name, names))

    def layer(self, layer: str) -> Tuple[Table, ...]:
        """Return the tables of one layer."""
        return tuple(table for table in self.tables if table.layer == layer)

    def query(self, table: Table) -> str:
        """Return the text of the table's SQL file; empty for a table without SQL.

        A byte order mark in the file is ignored. Raises DeclarationError for a file
        that cannot be read.
        """
        if not table.sql:
            return ""
        path = self.sql / table.sql
        try:
            return path.read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            raise DeclarationError(table.name, *_unreadable(path, error)) from error


def _unreadable(path: Path, error: Exception) -> Tuple[str, str]:
    """Return why an SQL file cannot be read, and the next step."""
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        return f"{path}, line {line}: not UTF-8", f"Save {path} as UTF-8."
    if not isinstance(error, FileNotFoundError):
        what = error.strerror if isinstance(error, OSError) else str(error)
        return f"{path} cannot be read: {what}", f"Make {path} a readable SQL file."
    beside = [each.name for each in path.parent.glob("*.sql")]
    if not beside:
        return (
            f"there is no SQL file {path}",
            "Write the file, or correct sql in the table.",
        )
    return f"there is no SQL file {path}", f"Did you mean {nearest(path.name, beside)}?"
