"""How a table is declared: its columns, the SQL that makes it and what it reads.

Nothing here knows any particular table; `lakekit.flights` is one set of declarations.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Iterator, Literal, Optional, Tuple

from lakekit.errors import DeclarationError, UnknownTable

Type = Literal["string", "boolean", "int", "bigint", "double", "date", "timestamp"]
"""Databricks' names. A timestamp is an instant, kept in UTC; there is no type for a time without a zone."""

LAYERS = ("bronze", "silver", "gold")


@dataclass(frozen=True)
class Column:
    """A column. A required one is NOT NULL in Delta, and in a source it may not be the missing mark."""

    name: str
    type: Type = "string"
    required: bool = False


@dataclass(frozen=True)
class Source:
    """A CSV file `name`.csv, or that file zipped; `columns` carry the types that silver casts its strings to."""

    name: str
    columns: Tuple[Column, ...]
    missing: str = "NA"


@dataclass(frozen=True)
class Table:
    """A Delta table. Bronze tables have a `source`, all others an `sql` file and the tables that it reads."""

    name: str
    columns: Tuple[Column, ...]
    reads: Tuple[str, ...] = ()
    sql: str = ""
    source: Optional[Source] = None

    @property
    def layer(self) -> str:
        """The part of the name before the dot: the schema in Databricks, the folder in a lake."""
        return self.name.partition(".")[0]

    @property
    def folder(self) -> Path:
        """Where the table lies, relative to its lake."""
        return Path(*self.name.split("."))

    def canonical(self) -> str:
        """The declaration as text that changes when, and only when, the declaration does."""
        return json.dumps(asdict(self), sort_keys=True)


def bronze(source: Source) -> Table:
    """The bronze table of a source: its columns as the strings they came as, with the file and the row (1 is the
    first after the header) that each came from. No load time: the same source twice is the same table."""
    strings = tuple(Column(column.name, required=True) for column in source.columns)
    origin = (Column("_source_file", required=True), Column("_source_row", "bigint", required=True))
    return Table(f"bronze.{source.name}", strings + origin, source=source)


@dataclass(frozen=True)
class TableSet:
    """Tables in an order in which each comes after all that it reads, and the folder of their SQL files."""

    tables: Tuple[Table, ...]
    sql: Path

    def __post_init__(self) -> None:
        seen = set()
        for table in self.tables:
            if table.layer not in LAYERS or table.name.count(".") != 1:
                raise DeclarationError(
                    table.name, f"a name is LAYER.TABLE, with a layer of {', '.join(LAYERS)}"
                )
            if table.name in seen:
                raise DeclarationError(table.name, "is declared twice")
            if bool(table.sql) == bool(table.source):
                raise DeclarationError(table.name, "needs a source or an SQL file, and not both")
            for read in table.reads:
                if read not in seen:
                    raise DeclarationError(table.name, f"reads {read}, which is not declared before it")
            seen.add(table.name)

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)

    def __getitem__(self, name: str) -> Table:
        """The table of that name.

        Raises UnknownTable, with the nearest name there is.
        """
        for table in self.tables:
            if table.name == name:
                return table
        names = [table.name for table in self.tables]
        raise UnknownTable(name, difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0])

    def query(self, table: Table) -> str:
        """The text of the table's SQL file; empty for a bronze table, which has none."""
        return (self.sql / table.sql).read_text(encoding="utf-8") if table.sql else ""
