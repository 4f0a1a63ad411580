from __future__ import annotations

import pytest

from lakekit.errors import SqlRefused
from lakekit.transpile import to_duckdb


def test_databricks_sql_becomes_duckdb_sql() -> None:
    query, reads = to_duckdb("t", "select cast(x as timestamp) as t from bronze.a -- the hour")
    assert query.startswith("SELECT CAST(x AS TIMESTAMPTZ) AS t FROM bronze.a")
    assert reads == {"bronze.a"}


def test_common_table_expression_is_no_table_that_is_read() -> None:
    sql = "with c as (select x from bronze.a) select c.x from c left join silver.b b on b.x = c.x"
    assert to_duckdb("t", sql)[1] == {"bronze.a", "silver.b"}


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("select dayofweek(d) from a", "DAYOFWEEK"),
        ("select from_utc_timestamp(t, 'UTC') from a", "AtTimeZone"),
        ("select 5 / x from a", "Div"),
        ("select x from a where x like 'b%'", "Like"),
        ("select d + interval 1 day from a", "Interval"),
        ("select * except (x) from a, lateral view explode(y) e as z", "not let through"),
        ("select count_if(x) from a", "COUNT_IF"),
        ("select try_cast(x as int) from a", "TRY_CAST"),
        ("select some_udf(x) from a", "SOME_UDF"),
        ("select 1; select 2", "one SELECT"),
        ("drop table a", "one SELECT"),
        ("", "one SELECT"),
        ("select from where", "t: "),
    ],
)
def test_sql_that_is_not_known_to_mean_the_same_is_refused(sql: str, reason: str) -> None:
    with pytest.raises(SqlRefused) as caught:
        to_duckdb("t", sql)
    assert reason in str(caught.value), str(caught.value)
