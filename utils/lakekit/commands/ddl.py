"""Describes the declared tables, and generates Databricks SQL that creates them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Mapping, Tuple

from lakekit.declarations.sql_checks import check_sql
from lakekit.declarations.tables import Column, Table, TableSet
from lakekit.engines.engine import SWITCHED_OFF, TABLE_PROPERTIES
from lakekit.errors import InvalidLakeError
from lakekit.nyc_flights.tables import TABLES
from lakekit.storage.lake import find_lake

PROPERTIES: Mapping[str, str] = {**TABLE_PROPERTIES, **SWITCHED_OFF}


@dataclass(frozen=True)
class DescribeResult:
    """All declared tables and quarantine tables, in the order in which a run updates
    these tables.
    """

    tables: Tuple[Table, ...]


@dataclass(frozen=True)
class DdlResult:
    """Idempotent SQL statements, which must be run in this order."""

    schema: str
    statements: Tuple[str, ...]

    def script(self) -> str:
        """Return all statements as one SQL script."""
        return "\n\n".join(f"{statement};" for statement in self.statements) + "\n"


def ddl(schema: str, *, tables: TableSet = TABLES) -> DdlResult:
    """Return the DDL that creates all tables in a schema `catalog.schema`.

    In the schema, the table `layer.table` has the name `layer_table`. Databricks has no
    ADD CONSTRAINT IF NOT EXISTS, so the DDL drops each existing constraint and adds it
    again. When a constraint is added, Databricks checks all rows of the table again.

    Raises InvalidLakeError if `schema` is not a valid `catalog.schema`.
    """
    lake = find_lake(schema)
    check_sql(tables)
    if lake.kind != "schema":
        raise InvalidLakeError(
            f"{schema} is not a schema of a catalog",
            "Write CATALOG.SCHEMA, such as main.flights.",
        )
    statements = [f"CREATE SCHEMA IF NOT EXISTS {_quoted(lake.root)}"]
    for table in tables:
        name = _quoted(lake.location(table))
        statements.append(_create(table, name))
        for each in table.constraints:
            statements.append(
                f"ALTER TABLE {name} DROP CONSTRAINT IF EXISTS `{each.name}`"
            )
            statements.append(
                f"ALTER TABLE {name} ADD CONSTRAINT `{each.name}` CHECK ({each.sql})"
            )
    return DdlResult(lake.root, tuple(statements))


def describe(*, tables: TableSet = TABLES) -> DescribeResult:
    """Return the declared tables, for the command `lakekit tables`.

    This function is not called `tables`, because that name would hide the module
    `lakekit.tables`.
    """
    check_sql(tables)
    return DescribeResult(tuple(tables))


def _create(table: Table, name: str) -> str:
    lines = [
        f"CREATE TABLE IF NOT EXISTS {name} (",
        ",\n".join(_column(each) for each in table.columns),
        ")",
    ]
    lines.append("USING DELTA")
    if table.partition:
        lines.append(f"PARTITIONED BY (`{table.partition}`)")
    if table.comment:
        lines.append(f"COMMENT {_text(table.comment)}")
    properties: List[str] = [
        f"{_text(key)} = {_text(value)}" for key, value in PROPERTIES.items()
    ]
    lines.append(f"TBLPROPERTIES ({', '.join(properties)})")
    return "\n".join(lines)


def _column(column: Column) -> str:
    parts = [f"  `{column.name}`", column.type.upper()]
    parts += ["NOT NULL"] if column.required else []
    parts += [f"COMMENT {_text(column.comment)}"] if column.comment else []
    return " ".join(parts)


def _quoted(name: str) -> str:
    return ".".join(f"`{part}`" for part in name.split("."))


def _text(value: str) -> str:
    """Return a string literal. Quotes are escaped with a backslash, because Databricks
    reads two adjacent quotes as the end of a string and the start of another string.
    """
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
