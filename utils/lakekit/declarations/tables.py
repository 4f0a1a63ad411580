"""Classes to declare tables: columns, key, partitioning, checks, SQL and input tables.

The engines, the commands and the API read these declarations.
`lakekit.nyc_flights.tables` is an example of a set of tables.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Callable, Iterator, List, Literal, Mapping, Optional, Tuple

from lakekit.errors import DeclarationError, UnknownTableError

Type = Literal["string", "boolean", "int", "bigint", "double", "date", "timestamp"]
"""Column types, by their names in Databricks. A timestamp is an instant, stored in UTC;
there is no type for a time without a zone.
"""

Severity = Literal["warn", "drop", "fail"]
"""The effect of an unmet expectation: `warn` counts the row, `drop` moves it to
quarantine, `fail` stops the run before the table is written.
"""

Update = Literal["append", "merge", "groups", "whole"]
"""How a table is updated from its input tables: `append` adds the rows of new files;
`merge` merges new bronze rows by key, and the latest row wins; `groups` recomputes the
groups (keys) of changed rows; `whole` recomputes the whole table.
"""

LAYERS = ("bronze", "silver", "quarantine", "gold")
IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True)
class Column:
    """A column of a table or of a source file.

    Attributes:
        required: NOT NULL in Delta; in a source, the value must not be the missing
            mark.
        tolerance: relative difference that `diff` and parity tests allow, for doubles
            whose last bits depend on the order of a sum.
        volatile: differs between two lakes made from the same files, so `diff` leaves
            it out.
    """

    name: str
    type: Type = "string"
    required: bool = False
    comment: str = ""
    tolerance: float = 0.0
    volatile: bool = False


@dataclass(frozen=True)
class Constraint:
    """A CHECK constraint of the Delta table, enforced for every writer. A null result
    violates it, as in Delta.
    """

    name: str
    sql: str


@dataclass(frozen=True)
class Expectation:
    """An SQL predicate over the columns that every row of a table should meet. A null
    result does not meet it.
    """

    name: str
    sql: str
    severity: Severity = "warn"


SOURCE_FILE = Column(
    "_source_file",
    required=True,
    comment="File, relative to the source folder, archives opened",
)
SOURCE_SHA256 = Column(
    "_source_sha256", required=True, comment="Digest of the file's content"
)
SOURCE_ROW = Column(
    "_source_row",
    "bigint",
    required=True,
    comment="Row in that file; 1 is the first after a header",
)
INGESTED_AT = Column(
    "_ingested_at",
    "timestamp",
    required=True,
    comment="When lakekit took the file in",
    volatile=True,
)
ORIGIN = (SOURCE_FILE, SOURCE_SHA256, SOURCE_ROW, INGESTED_AT)
"""The columns for the origin of a row, in every bronze and merged table.
(`_source_sha256`, `_source_row`) identifies a row.
"""

LATEST = ("_source_file", "_ingested_at", "_source_row")
"""The default order that decides which of two rows with the same key is the latest. The
file name comes first, so that the order of arrival does not matter; then the later
ingest of a file that was replaced under its name; then the later row. Ingestion times
have the order of commits, even if the clock was set back.
"""


@dataclass(frozen=True)
class Join:
    """How a merged table joins another input table `read`: `on` has pairs of (column of
    the input table, column of the merged table) that must be equal. When rows of the
    input table change, the matching rows are recomputed. A change in an input table
    without a Join recomputes all rows.
    """

    read: str
    on: Tuple[Tuple[str, str], ...]


@dataclass(frozen=True)
class Source:
    """The source files of one bronze table: `NAME.csv`, `NAME.csv.zip`, `NAME.csv.gz`
    or `NAME.parquet` in the source folder, or any number of such files in its subfolder
    NAME. `columns` have the types that silver casts the strings to.

    Attributes:
        missing: the text that means "no value" in a file.
        misfits: share of a column's values, 0 to 1, that may fail to convert before the
            whole file is refused.
    """

    name: str
    columns: Tuple[Column, ...]
    missing: str = "NA"
    misfits: float = 0.05


@dataclass(frozen=True)
class Table:
    """A Delta table.

    Bronze tables have a `source`, quarantine tables neither source nor SQL, and all
    other tables an `sql` file and input tables (`reads`). The first input table of a
    merged table is its bronze table.

    Attributes:
        key: columns that identify a row; for `groups`, the columns of the same name in
            every input table identify the group.
        latest: for `merge`, the order in which the last row of a key wins; `LATEST`
            completes it.
        partition: a required column with few distinct values; empty without
            partitioning.
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
        """Return the part of the name before the dot, which is a folder in the lake."""
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
        """Return the columns that decide which row of a key is the latest, most
        significant first.
        """
        return self.latest + tuple(name for name in LATEST if name not in self.latest)

    def __getitem__(self, name: str) -> Column:
        """Return the column of that name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def canonical(self) -> str:
        """Return the parts of the declaration that the rows depend on, as text.

        Comments, tolerances, CHECK constraints and the share of misfits are not
        included, because a change to them needs no recomputation.
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
    """Return the bronze table of a source: its columns as strings, and the origin of
    each row.
    """
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
    """Return the quarantine table of a merged table: the unchanged bronze rows, and the
    rule that each row violates.
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
    """A set of tables and the folder of their SQL files. Every table must come after
    its input tables. The quarantine of a merged table is added after it.
    """

    tables: Tuple[Table, ...]
    sql: Path

    def __post_init__(self) -> None:
        complete: List[Table] = []
        for table in self.tables:
            _check(table, complete)
            complete.append(table)
            if table.update == "merge":
                follows = next(each for each in complete if each.name == table.reads[0])
                complete.append(quarantine(table, follows))
        object.__setattr__(self, "tables", tuple(complete))

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)

    def __getitem__(self, name: str) -> Table:
        """Return the table of that name.

        Raises UnknownTableError, with the most similar existing name.
        """
        for table in self.tables:
            if table.name == name:
                return table
        names = [table.name for table in self.tables]
        raise UnknownTableError(
            name, difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
        )

    def layer(self, layer: str) -> Tuple[Table, ...]:
        """Return the tables of one layer."""
        return tuple(table for table in self.tables if table.layer == layer)

    def query(self, table: Table) -> str:
        """Return the text of the table's SQL file; empty for a table without SQL."""
        return (self.sql / table.sql).read_text(encoding="utf-8") if table.sql else ""


def _check(table: Table, before: List[Table]) -> None:
    """Raise DeclarationError for a declaration that is invalid, or that conflicts with
    the tables declared `before`.
    """
    declared = {each.name: each for each in before}
    for rule in RULES:
        for objection in rule(table, declared):
            raise DeclarationError(table.name, objection)


def _misnamed(table: Table, declared: Mapping[str, Table]) -> Iterator[str]:
    names = [column.name for column in table.columns]
    for name in names:
        if not IDENTIFIER.fullmatch(name):
            yield f"column {name} is no lower-case name"
    for name in names:
        if names.count(name) > 1:
            yield f"column {name} is declared twice"
    layer, _, short = table.name.partition(".")
    if layer not in LAYERS or layer == "quarantine" or not IDENTIFIER.fullmatch(short):
        yield (
            "a name is LAYER.TABLE in lower case,"
            " with a layer of bronze, silver or gold"
        )
    if table.name in declared:
        yield "is declared twice"


def _undeclared(table: Table, declared: Mapping[str, Table]) -> Iterator[str]:
    if bool(table.sql) == bool(table.source):
        yield "needs a source or an SQL file, and not both"
    for read in table.reads:
        if read not in declared:
            yield f"reads {read}, which is not declared before it"
    names = [column.name for column in table.columns]
    partitions = (table.partition,) if table.partition else ()
    for name in (*table.key, *table.latest, *partitions):
        if name not in names:
            yield f"column {name} is used and not declared"


def _misidentified(table: Table, _: Mapping[str, Table]) -> Iterator[str]:
    if table.partition and table[table.partition].type in ("timestamp", "double"):
        yield (
            f"is partitioned by {table.partition}, a {table[table.partition].type},"
            " which has too many values"
        )
    for column in table.columns:
        if column.name in (*table.key, table.partition) and not column.required:
            yield (
                f"column {column.name} identifies rows or partitions,"
                " and is not required"
            )


def _misupdated(table: Table, _: Mapping[str, Table]) -> Iterator[str]:
    if (table.update == "append") != bool(table.source):
        yield "is appended to without a source, or has a source and is not appended to"
    if table.update in ("merge", "groups") and not table.key:
        yield f"is updated by {table.update} and has no key"


def _mismerged(table: Table, declared: Mapping[str, Table]) -> Iterator[str]:
    if table.update != "merge":
        if any(each.severity == "drop" for each in table.expectations):
            yield "drops rows by an expectation, which only a merged table can"
        return
    if not table.reads or not declared[table.reads[0]].source:
        yield "is merged, and its first read is no bronze table"
    for column in ORIGIN:
        if column not in table.columns:
            yield (
                f"is merged, and has no column {column.name}"
                " as lakekit.declarations.ORIGIN has it"
            )


def _misjoined(table: Table, declared: Mapping[str, Table]) -> Iterator[str]:
    here = {column.name for column in table.columns}
    for join in table.joins:
        if table.update != "merge" or join.read not in table.reads[1:]:
            yield (
                f"joins {join.read}, which it does not read beside the table it follows"
            )
            continue
        there = {column.name for column in declared[join.read].columns}
        for theirs, ours in join.on:
            if theirs not in there or ours not in here:
                yield f"joins {join.read} by {theirs} = {ours}"


def _misgrouped(table: Table, declared: Mapping[str, Table]) -> Iterator[str]:
    for read in table.reads if table.update == "groups" else ():
        there = {column.name for column in declared[read].columns}
        for name in table.key:
            if name not in there:
                yield f"is updated by groups, and {read} has no column {name}"


RULES: Tuple[Callable[[Table, Mapping[str, Table]], Iterator[str]], ...] = (
    _misnamed,
    _undeclared,
    _misidentified,
    _misupdated,
    _mismerged,
    _misjoined,
    _misgrouped,
)
"""Checks of a table, given the tables declared before it. Later checks may assume that
earlier checks passed.
"""
