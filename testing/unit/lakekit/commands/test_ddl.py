from __future__ import annotations

from dataclasses import replace

import pytest
import sqlglot
from sqlglot import exp

import lakekit
from lakekit.declarations.tables import Column, TableSet
from lakekit.errors import InvalidLakeError
from lakekit.nyc_flights.tables import TABLES
from lakekit.template.tables import TABLES as ORDERS


def test_every_statement_is_databricks_sql_and_may_be_run_again() -> None:
    result = lakekit.ddl("main.flights", tables=TABLES)
    parsed = [sqlglot.parse_one(each, read="databricks") for each in result.statements]
    assert {type(each) for each in parsed} == {exp.Create, exp.Alter}
    for text in result.statements:
        assert text.startswith(
            (
                "CREATE SCHEMA IF NOT EXISTS ",
                "CREATE TABLE IF NOT EXISTS ",
                "ALTER TABLE ",
            )
        )
    created = [
        each.this.this
        for each in parsed
        if isinstance(each, exp.Create) and each.kind == "TABLE"
    ]
    assert [each.name for each in created] == [
        table.name.replace(".", "_") for table in TABLES
    ]
    assert {(each.catalog, each.db) for each in created} == {("main", "flights")}


def test_table_has_what_its_declaration_says() -> None:
    statement = next(
        s for s in lakekit.ddl("main.flights").statements if "`silver_flights` (" in s
    )
    for text in (
        "`time_hour` TIMESTAMP NOT NULL,",
        "`flight_day` DATE NOT NULL COMMENT 'Local day of scheduled departure',",
        "`hour` INT,",
        "PARTITIONED BY (`flight_month`)",
        (
            "COMMENT 'Every flight once, with its airline, airports, plane and weather"
            " where they are known'"
        ),
        "'delta.enableChangeDataFeed' = 'true'",
        "'delta.enableDeletionVectors' = 'false'",
    ):
        assert text in statement, text


def test_constraint_is_dropped_if_it_is_there_before_it_is_added() -> None:
    found = [
        each
        for each in lakekit.ddl("main.shop", tables=ORDERS).statements
        if each.startswith("ALTER")
    ]
    assert found == [
        (
            "ALTER TABLE `main`.`shop`.`silver_orders` DROP CONSTRAINT IF EXISTS"
            " `price_not_negative`"
        ),
        (
            "ALTER TABLE `main`.`shop`.`silver_orders` ADD CONSTRAINT"
            " `price_not_negative` CHECK (price >= 0)"
        ),
    ]


def test_quotes_and_backslashes_of_comments_come_through() -> None:
    comment = "Bob's \\ files"
    gold = replace(
        ORDERS["gold.sales_by_day"],
        comment=comment,
        columns=ORDERS["gold.sales_by_day"].columns,
    )
    named = replace(gold, columns=(*gold.columns, Column("note", comment=comment)))
    tables = TableSet(
        (ORDERS["bronze.orders"], ORDERS["silver.orders"], named), ORDERS.sql
    )
    parsed = sqlglot.parse_one(
        lakekit.ddl("main.shop", tables=tables).statements[-1], read="databricks"
    )
    found = [
        each.this.name
        for each in parsed.find_all(
            exp.SchemaCommentProperty, exp.CommentColumnConstraint
        )
    ]
    assert found == [comment, comment]


@pytest.mark.parametrize("name", ["flights", "a.b.c", "s3://bucket/x", "/tmp/x"])
def test_name_that_is_no_schema_is_refused(name: str) -> None:
    with pytest.raises(InvalidLakeError) as caught:
        lakekit.ddl(name)
    assert "CATALOG.SCHEMA" in caught.value.next_step


def test_script_ends_each_statement() -> None:
    result = lakekit.ddl("main.shop", tables=ORDERS)
    assert (
        len(sqlglot.parse(result.script(), read="databricks"))
        == len(result.statements)
        == 7
    )


def test_described_tables_are_those_declared_and_their_quarantines() -> None:
    found = [table.name for table in lakekit.describe(tables=ORDERS).tables]
    assert found == [
        "bronze.orders",
        "silver.orders",
        "quarantine.orders",
        "gold.sales_by_day",
    ]
