from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from lakekit.declarations.tables import Column, Source, Table, Type
from lakekit.engines.duckdb import statements
from lakekit.errors import DeclarationError

SOURCE = Source("s", (), missing="it's NA")


@pytest.mark.parametrize("odd", ['a"b', "a'b", "select", "ä ö"])
def test_names_and_texts_are_quoted(odd: str) -> None:
    with duckdb.connect() as connection:
        relation = connection.execute(
            f"select {statements.text(odd)} as {statements.name(odd)}"
        )
        assert [column[0] for column in relation.description or []] == [odd]
        assert relation.fetchall() == [(odd,)]


def test_file_name_is_no_pattern() -> None:
    assert statements.file(Path("/a/[b]*?'c.csv")) == "'/a/[[]b][*][?]''c.csv'"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("boolean", ["true", "FALSE"], ["t", "1", "yes", ""]),
        (
            "int",
            ["0", "-2147483648", "+7", "007"],
            ["2147483648", "1.0", "1e3", "0x1", "1_0", " 1", ""],
        ),
        ("bigint", ["9223372036854775807"], ["9223372036854775808", "1.5", ""]),
        (
            "double",
            ["1", "1.", ".5", "-1.5e-7", "1E5"],
            ["nan", "inf", "1,5", "0x1p3", "1e", ".", ""],
        ),
        (
            "date",
            ["2013-02-28", "2012-02-29"],
            ["2013-02-29", "2013-2-28", "28.02.2013", ""],
        ),
        (
            "timestamp",
            ["2013-01-01T10:00:00Z", "2013-01-01 10:00:00.5-05:00"],
            ["2013-01-01T25:00:00Z", "2013"],
        ),
    ],
)
def test_strings_that_convert_and_strings_that_do_not(
    kind: Type, good: list[str], bad: list[str]
) -> None:
    misfit = statements.misfit(Column("v", kind), SOURCE)
    required = statements.misfit(Column("v", kind, required=True), SOURCE)
    with duckdb.connect() as connection:

        def refused(condition: str, value: str) -> bool:
            return bool(
                connection.execute(
                    f"select {condition} from (select ? as v)", [value]
                ).fetchall()[0][0]
            )

        assert [
            value
            for value in good
            if refused(misfit, value) or refused(required, value)
        ] == []
        assert [
            value
            for value in bad
            if not (refused(misfit, value) and refused(required, value))
        ] == []
        assert not refused(misfit, SOURCE.missing) and refused(required, SOURCE.missing)


def test_columns_are_cast_in_the_declared_order() -> None:
    table = Table("silver.t", (Column("n", "int"), Column("s")))
    query = statements.as_declared(
        table, "select 1", [("n", "HUGEINT"), ("s", "VARCHAR")]
    )
    assert (
        query == 'SELECT CAST("n" AS INTEGER) AS "n", CAST("s" AS VARCHAR) AS "s" FROM'
        " (select 1)"
    )
    with pytest.raises(
        DeclarationError, match="returns the columns s, n; declared: n, s"
    ):
        statements.as_declared(table, "select 1", [("s", "VARCHAR"), ("n", "HUGEINT")])
    with pytest.raises(DeclarationError, match="column n is DECIMAL"):
        statements.as_declared(
            table, "select 1", [("n", "DECIMAL(38,0)"), ("s", "VARCHAR")]
        )
