from __future__ import annotations

import pytest

from lakekit.declarations.tables import Table
from lakekit.declarations.transpile import duckdb, parse_query
from lakekit.nyc_flights.tables import TABLES

COMPUTED = [table for table in TABLES if table.sql]


@pytest.mark.parametrize("table", COMPUTED, ids=lambda table: str(table.name))
def test_sql_reads_what_is_declared(table: Table) -> None:
    query = parse_query(
        table.name, TABLES.query(table), table.reads
    )  # raises an error if the SQL reads an undeclared table
    assert "SELECT" in duckdb(query, table.name)


def test_each_sql_file_belongs_to_a_table() -> None:
    files = {
        file.relative_to(TABLES.sql).as_posix() for file in TABLES.sql.rglob("*.sql")
    }
    assert files == {table.sql for table in COMPUTED}


def test_no_table_is_left_out() -> None:
    layers = [table.layer for table in TABLES]
    assert (layers.count("bronze"), layers.count("silver"), layers.count("gold")) == (
        5,
        5,
        5,
    )
