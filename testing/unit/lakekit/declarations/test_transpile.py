from __future__ import annotations

import pytest

from lakekit.declarations.transpile import (
    duckdb,
    parse_predicate,
    parse_query,
    with_views,
)
from lakekit.errors import DeclarationError, UnsupportedSqlError


def test_databricks_sql_becomes_duckdb_sql() -> None:
    query = parse_query(
        "t", "select cast(x as timestamp) as t from bronze.a -- the hour", ["bronze.a"]
    )
    assert duckdb(query, "t").startswith(
        'SELECT CAST("x" AS TIMESTAMPTZ) AS "t" FROM "bronze"."a"'
    )


def test_date_that_does_not_exist_is_null() -> None:
    query = parse_query(
        "t", "select make_date(y, m, 1) as d from bronze.a", ["bronze.a"]
    )
    assert 'TRY(MAKE_DATE("Y", "M", 1))' in duckdb(query, "t").upper().replace(
        "Y, M", "y, m"
    )


def test_views_stand_for_tables_and_keep_their_names_for_columns() -> None:
    sql = (
        "with c as (select a.x from bronze.a) select c.x from c left join silver.b y on"
        " y.x = c.x"
    )
    query = with_views(
        parse_query("t", sql, ["bronze.a", "silver.b"]),
        {"bronze.a": "new_a", "silver.b": "v_b"},
    )
    text = duckdb(query, "t")
    assert 'FROM "new_a" AS "a"' in text and 'JOIN "v_b" AS "y"' in text
    assert 'FROM "c"' in text


def test_query_that_reads_what_is_not_declared_is_refused() -> None:
    with pytest.raises(
        DeclarationError, match="the SQL reads bronze.a; declared: bronze.b"
    ):
        parse_query("t", "select x from bronze.a", ["bronze.b"])


def test_predicate_is_over_one_row() -> None:
    assert (
        duckdb(parse_predicate("t", "x is null or x > 0"), "t")
        == '"x" IS NULL OR "x" > 0'
    )
    for sql in ("select 1", "x = (select max(x) from a)"):
        with pytest.raises(
            UnsupportedSqlError, match="not a predicate over the columns of one row"
        ):
            parse_predicate("t", sql)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("select dayofweek(d) from a", "DAYOFWEEK"),
        ("select from_utc_timestamp(t, 'UTC') from a", "AtTimeZone"),
        ("select 5 / x from a", "Div"),
        ("select x from a where x like 'b%'", "Like"),
        ("select d + interval 1 day from a", "Interval"),
        (
            "select * except (x) from a, lateral view explode(y) e as z",
            "not allowed",
        ),
        ("select count_if(x) from a", "COUNT_IF"),
        ("select try_cast(x as int) from a", "TRY_CAST"),
        ("select some_udf(x) from a", "SOME_UDF"),
        ("select 1; select 2", "not one statement"),
        ("drop table a", "(Drop) is not allowed"),
        ("1", "an SQL file must be one SELECT"),
        ("", "not one statement"),
        ("select from where", "t: "),
    ],
)
def test_sql_that_is_not_known_to_mean_the_same_is_refused(
    sql: str, reason: str
) -> None:
    with pytest.raises(UnsupportedSqlError) as caught:
        duckdb(parse_query("t", sql, ["a"]), "t")
    assert reason in str(caught.value), str(caught.value)
