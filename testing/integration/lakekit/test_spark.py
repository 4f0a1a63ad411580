"""Tests that Spark with Delta can read the tables that delta-rs writes, and that
delta-rs can read the tables that Spark writes.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Tuple

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

import lakekit
from lakekit.declarations import transpile
from lakekit.declarations.tables import Table
from lakekit.nyc_flights.tables import TABLES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Rows = List[Tuple[Any, ...]]
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
HOUR = "timestamp '2013-01-01 10:00:00'"
INSTANT = datetime.datetime(2013, 1, 1, 10, tzinfo=datetime.timezone.utc)


@pytest.fixture
def lake(sample: Path, tmp_path: Path) -> Path:
    lakekit.run(sample, tmp_path / "lake")
    return tmp_path / "lake"


def in_order(rows: Rows) -> Rows:
    return sorted(rows, key=repr)


def micros(value: Any) -> Any:
    """Convert instants to microseconds since 1970, which do not depend on a time
    zone.
    """
    return (
        (value - EPOCH) // datetime.timedelta(microseconds=1)
        if isinstance(value, datetime.datetime)
        else value
    )


def seen_by_spark(spark: SparkSession, path: Path) -> Rows:
    frame = spark.read.format("delta").load(str(path))
    columns = [
        f"unix_micros({name})" if kind == "timestamp" else name
        for name, kind in frame.dtypes
    ]
    return in_order([tuple(row) for row in frame.selectExpr(*columns).collect()])


def seen_by_delta_rs(path: Path) -> Rows:
    rows = DeltaTable(str(path)).to_pyarrow_dataset().to_table().to_pylist()
    return in_order([tuple(micros(value) for value in row.values()) for row in rows])


def test_jvm_is_the_expected_one(spark: SparkSession) -> None:
    gateway: Any = spark.sparkContext._jvm
    version = str(gateway.java.lang.System.getProperty("java.specification.version"))
    assert version == os.environ.get("LAKE_CI_JAVA", version)
    assert spark.version.startswith("3.5.")


@pytest.mark.parametrize("table", list(TABLES), ids=lambda table: str(table.name))
def test_spark_reads_what_lakekit_wrote(
    table: Table, spark: SparkSession, whole_lake: Path
) -> None:
    path = whole_lake / table.folder
    found = spark.read.format("delta").load(str(path)).dtypes
    assert found == [(column.name, column.type) for column in table.columns]
    rows = seen_by_spark(spark, path)
    assert rows == seen_by_delta_rs(path) and bool(rows) == (
        table.layer != "quarantine"
    )


@pytest.fixture(scope="module")
def whole_lake(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lake with the whole sample. No test changes it."""
    folder = tmp_path_factory.mktemp("lakes") / "lake"
    lakekit.run(sample, folder)
    return folder


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("flight_day = date '2013-01-01'", None),
        ("dep_delay > 100", None),
        ("dep_delay is null", 40),
        ("flight_day > date '2013-12-31'", 0),
        (f"time_hour = {HOUR}", 6),
        ("carrier = 'UA'", None),
        ("cancelled", 40),
        ("temp > 39 and carrier = 'UA'", None),
    ],
)
def test_spark_skips_no_file_that_it_needs(
    where: str, rows: Any, spark: SparkSession, whole_lake: Path
) -> None:
    path = whole_lake / "silver/flights"
    found = spark.read.format("delta").load(str(path)).where(where).count()
    dataset = DeltaTable(str(path)).to_pyarrow_dataset()
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("flights", dataset)
        expected = connection.execute(
            f"select count(*) from flights where {where}"
        ).fetchall()[0][0]
    assert found == expected and rows in (None, found)


def test_spark_appends_and_delta_rs_reads(spark: SparkSession, lake: Path) -> None:
    path = lake / "gold/busiest_hours"
    before = seen_by_delta_rs(path)
    spark.sql(f"insert into delta.`{path}` values (54, {HOUR}, 1L, 0L, 1L, 1L, null)")
    added = (54, micros(INSTANT), 1, 0, 1, 1, None)
    assert (
        seen_by_delta_rs(path)
        == in_order([*before, added])
        == seen_by_spark(spark, path)
    )


def test_spark_merges_into_what_lakekit_wrote(spark: SparkSession, lake: Path) -> None:
    path = lake / "silver/airlines"
    spark.sql(f"""
        merge into delta.`{path}` t using (
          select 'UA' as carrier, 'United' as name union all select 'ZZ', 'New'
        ) s
        on t.carrier = s.carrier
        when matched then update set t.name = s.name
        when not matched then insert
          (carrier, name, _source_file, _source_sha256, _source_row, _ingested_at)
          values (s.carrier, s.name, 'by hand', 'none', 1, current_timestamp())
    """)
    found = {row[0]: row[1] for row in seen_by_delta_rs(path)}
    assert (len(found), found["UA"], found["ZZ"]) == (17, "United", "New")
    assert [
        row["name"]
        for row in lakekit.show("silver.airlines", lake, limit=99).rows
        if row["carrier"] == "ZZ"
    ] == ["New"]


def test_what_spark_deleted_is_missed_by_what_was_joined_to_it(
    spark: SparkSession, lake: Path, sample: Path
) -> None:
    spark.sql(f"delete from delta.`{lake / 'silver/airlines'}` where carrier = 'UA'")
    result = lakekit.run(sample, lake)
    flights = lakekit.show("silver.flights", lake, limit=999).rows
    united = [row for row in flights if row["carrier"] == "UA"]
    assert united and {row["carrier_name"] for row in united} == {None}
    assert (result["silver.flights"].mode, result["silver.flights"].counts.updated) == (
        "merged",
        len(united),
    )
    days = {row["flight_day"] for row in united}
    gold = result["gold.delays_by_carrier_day"]
    assert (gold.mode, gold.counts.groups, gold.rows) == ("groups", len(days), 48)
    assert (
        not result["silver.airlines"].changed and not lakekit.run(sample, lake).changed
    )


def test_spark_holds_a_required_column_to_its_word(
    spark: SparkSession, lake: Path
) -> None:
    path = lake / "silver/airlines"
    before = seen_by_delta_rs(path)
    with pytest.raises(Exception, match="DELTA_NOT_NULL_CONSTRAINT_VIOLATED"):
        spark.sql(
            f"insert into delta.`{path}` values (null, 'Nobody', 'by hand', 'none', "
            f"1L, {HOUR})"
        )
    assert seen_by_delta_rs(path) == before


def test_delta_rs_merges_into_what_spark_made_and_spark_reads(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "made"
    spark.sql(
        f"create table delta.`{path}` (id int not null, t timestamp, name string) "
        "using delta"
    )
    spark.sql(f"insert into delta.`{path}` values (1, {HOUR}, 'one'), (2, null, 'two')")
    assert seen_by_delta_rs(path) == [(1, micros(INSTANT), "one"), (2, None, "two")]
    fields: List[pa.Field[Any]] = [
        pa.field("id", pa.int32(), nullable=False),
        pa.field("t", pa.timestamp("us", "UTC")),
        pa.field("name", pa.string()),
    ]
    schema = pa.schema(fields)
    later = INSTANT + datetime.timedelta(hours=1)
    changes = [
        {"id": 2, "t": later, "name": "zwei"},
        {"id": 3, "t": INSTANT, "name": "drei"},
    ]
    source = pa.RecordBatch.from_pylist(changes, schema=schema)
    merger = DeltaTable(str(path)).merge(
        source, "t.id = s.id", source_alias="s", target_alias="t"
    )
    merger.when_matched_update_all().when_not_matched_insert_all().execute()
    more = pa.RecordBatch.from_pylist(
        [{"id": 4, "t": later, "name": "vier"}], schema=schema
    )
    write_deltalake(str(path), more, mode="append")
    rows = seen_by_spark(spark, path)
    assert rows == [
        (1, micros(INSTANT), "one"),
        (2, micros(later), "zwei"),
        (3, micros(INSTANT), "drei"),
        (4, micros(later), "vier"),
    ]
    assert rows == seen_by_delta_rs(path)


EDGES = """
    select * from values
      (1, '7', 'x', true, cast(1.5 as double), '2013-03-10T06:59:59Z'),
      (2, '-2147483648', '', false, cast(-0.5 as double), '2013-11-03T05:30:00Z'),
      (3, '+12', 'NA', cast(null as boolean), cast(null as double),
        '2013-11-03T06:30:00Z'),
      (4, 'NA', cast(null as string), true, cast(1e300 as double),
        '2013-07-01T12:00:00.123456+02:00'),
      (cast(null as int), 'NA', 'é', false, cast(0 as double), 'NA')
    as t(n, digits, word, flag, number, seen)
"""
NUMBER = "cast(nullif(digits, 'NA') as int)"


@pytest.mark.parametrize(
    "expression",
    [
        NUMBER,
        "cast(nullif(word, 'x') as string)",
        "cast('1e2' as double) + cast('.5' as double)",
        "cast(nullif(seen, 'NA') as timestamp)",
        "nullif(word, 'NA')",
        "coalesce(word, 'none')",
        "make_date(2013, n, 28)",
        "make_date(2012, 2, 29)",
        "make_date(2013, n + 10, 31)",
        "make_date(2013, n, 30)",
        "number * 2 - n + 1",
        "-number",
        "n = 1 or word = 'x'",
        "n <> 1 and flag",
        "not flag",
        "word is null",
        "word is not null and n <= 3",
        "number >= 0",
        "number < 0 or number > 1",
        "number - 0.5",
        "n - 3",
        "-n * n",
        "(n > 2) = flag",
        "case when n > 2 then word when flag then 'flag' end",
        "case n when 1 then 'one' else 'more' end",
        "true and null",
        "row_number() over (partition by flag order by n)",
        "row_number() over (order by n desc)",
        "row_number() over (order by word, n)",
        "count(*) over (partition by flag)",
        "sum(n) over (partition by flag)",
    ],
)
def test_expression_means_the_same_on_both_engines(
    expression: str, spark: SparkSession
) -> None:
    check_parity(f"select n, {expression} as found from edges order by n", spark)


@pytest.mark.parametrize(
    "aggregate",
    [
        "count(*)",
        "count(n)",
        "count(distinct word)",
        "count(*) filter (where flag)",
        "count(*) filter (where n > 2)",
        "count(*) filter (where cast(null as boolean))",
        "avg(n)",
        "avg(number)",
        "sum(n)",
        "max(word)",
        "min(word)",
        "max(n)",
        "min(number)",
        "max(flag)",
    ],
)
@pytest.mark.parametrize("group", ["flag", "n"])
def test_aggregate_means_the_same_on_both_engines(
    aggregate: str, group: str, spark: SparkSession
) -> None:
    check_parity(
        f"select {group}, {aggregate} as found from edges group by {group} "
        f"order by {group}",
        spark,
    )
    check_parity(f"select {aggregate} as found from edges where n > 100", spark)


@pytest.mark.parametrize(
    "query",
    [
        "select n, word from edges order by word, n",
        "select n, word from edges order by word desc, n desc",
        (
            "with e as (select n + 1 as m from edges where n > 1) select m, word "
            "from e left join edges on n = m order by m"
        ),
        (
            "select a.n, b.n as m from edges a left join edges b on a.flag = b.flag "
            "and a.n < b.n order by a.n, b.n"
        ),
    ],
)
def test_query_means_the_same_on_both_engines(query: str, spark: SparkSession) -> None:
    check_parity(query, spark)


def check_parity(query: str, spark: SparkSession) -> None:
    """Check that a query in open source Spark, and its translation in DuckDB, return
    the same rows in the same order.
    """
    spark.sql(EDGES).createOrReplaceTempView("edges")
    spark.conf.set("spark.sql.ansi.enabled", "false")  # as in SparkEngine
    on_spark = [tuple(row) for row in instants(spark, query).collect()]
    spark.conf.set("spark.sql.ansi.enabled", "true")
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(
            "create table edges (n int, digits text, word text, flag boolean, "
            "number double, seen text)"
        )
        values = [tuple(row) for row in spark.sql(EDGES).collect()]
        connection.executemany("insert into edges values (?, ?, ?, ?, ?, ?)", values)
        translated = transpile.parse_query("parity", query, ["edges"])
        cursor = connection.execute(transpile.duckdb(translated, "parity"))
        on_duckdb = [tuple(micros(value) for value in row) for row in cursor.fetchall()]
    assert on_duckdb == on_spark


def instants(spark: SparkSession, query: str) -> Any:
    frame = spark.sql(query)
    return frame.selectExpr(
        *[
            f"unix_micros({name})" if kind == "timestamp" else name
            for name, kind in frame.dtypes
        ]
    )
