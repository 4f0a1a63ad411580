"""Tests that a run never commits values that a table cannot store, and that both
engines reject the same values.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Dict, Sequence, Tuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

import lakekit
from lakekit.declarations.tables import ORIGIN, Column, Source, Table, TableSet, bronze
from lakekit.engines.duckdb.engine import EmbeddedEngine
from lakekit.engines.engine import Engine, Note
from lakekit.errors import ComputeError, SourceError
from lakekit.storage.lake import find_lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.long

ENGINES = ["embedded", "spark"]
VISITS = Source(
    "visits",
    (
        Column("id", required=True),
        Column("year", "int", required=True),
        Column("port", required=True),
        Column("seen", "timestamp"),
    ),
    misfits=1.0,
)
BY_PORT = Table(
    "silver.by_port",
    (
        Column("id", required=True),
        Column("port", required=True),
        Column("seen", "timestamp"),
        *ORIGIN,
    ),
    ("bronze.visits",),
    "by_port.sql",
    key=("id",),
    partition="port",
    update="merge",
)
BY_DAY = Table(
    "silver.by_day",
    (Column("id", required=True), Column("day", "date", required=True), *ORIGIN),
    ("bronze.visits",),
    "by_day.sql",
    key=("id",),
    partition="day",
    update="merge",
)
SQL = {
    "by_port.sql": (
        "select id, port, cast(nullif(seen, 'NA') as timestamp) as seen, "
        "_source_file, _source_sha256, _source_row, _ingested_at from bronze.visits"
    ),
    "by_day.sql": (
        "select id, make_date(cast(year as int), 1, 1) as day, "
        "_source_file, _source_sha256, _source_row, _ingested_at from bronze.visits"
    ),
}
GOLD = Table(
    "gold.ports",
    (Column("port", required=True), Column("day", "date"), Column("seen", "timestamp")),
    ("bronze.visits",),
    "ports.sql",
    key=("port",),
    partition="port",
)

LONG, FULL = "é" * 42, "x" * 250
"""Partition values. Escaped as a folder name, LONG has 256 bytes and FULL has 255
bytes.
"""
GOOD = [
    ("good-1", "1", "plain", "0001-01-01T00:00:00Z"),
    ("good-2", "9999", FULL, "9999-12-31T23:59:59.999999Z"),
    ("good-3", "2013", "..", "NA"),
    ("good-4", "2013", "tab\t=/%\\", "NA"),
]
BAD = [
    ("nul", "2013", "a\0b", "NA"),
    ("hive", "2013", "__HIVE_DEFAULT_PARTITION__", "NA"),
    ("long", "2013", LONG, "NA"),
    ("null", "2013", "Null", "NA"),
    ("empty", "2013", "", "NA"),
    ("seen-0", "2013", "x", "0001-01-01T00:00:00+01:00"),
    ("seen-10000", "2013", "x", "9999-12-31T23:59:59-01:00"),
    ("year-0", "0", "x", "NA"),
    ("year-20000", "20000", "x", "NA"),
    ("year--44", "-44", "x", "NA"),
    ("year-huge", "2147483647", "x", "NA"),
]
REFUSED = {
    "by_port": {
        "nul": "partition: port",
        "hive": "partition: port",
        "long": "partition: port",
        "null": "partition: port",
        "empty": "required: port",
        "seen-0": "type: seen",
        "seen-10000": "type: seen",
    },
    # If a value of a row cannot be converted, the row is in the quarantine of every
    # table.
    "by_day": {
        "seen-0": "type: seen",
        "seen-10000": "type: seen",
        "year-0": "range: day",
        "year-20000": "range: day",
        "year--44": "range: day",
        "year-huge": "required: day",
    },
}


@pytest.fixture
def tables(tmp_path: Path) -> TableSet:
    folder = tmp_path / "sql"
    folder.mkdir()
    for name, text in SQL.items():
        (folder / name).write_text(text)
    return TableSet((bronze(VISITS), BY_PORT, BY_DAY), folder)


def write(folder: Path, name: str, rows: Sequence[Tuple[str, ...]]) -> None:
    """Write a source file: CSV if the name ends in `.csv`, otherwise Parquet."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [column.name for column in VISITS.columns]
    if name.endswith(".csv"):
        lines = [",".join(f'"{value}"' for value in row) for row in [names, *rows]]
        (folder / name).write_text("\n".join(lines) + "\n")
    else:
        pq.write_table(pa.table(dict(zip(names, map(list, zip(*rows))))), folder / name)


def read(lake: Path, table: str, *columns: str) -> Dict[str, object]:
    """Read columns of a table with delta-rs and pyarrow. Returns the values of each row
    by its `id`.
    """
    rows = DeltaTable(str(lake / table)).to_pyarrow_table().to_pylist()
    return {row["id"]: tuple(row[name] for name in columns) for row in rows}


@pytest.mark.parametrize("engine", ENGINES)
def test_bad_rows_are_quarantined_and_the_others_read_back(
    engine: str, tables: TableSet, spark: SparkSession, tmp_path: Path
) -> None:
    lake, folder = tmp_path / "lake", tmp_path / "source" / "visits"
    # The first run gets every second row, and writes whole tables. The second run gets
    # the remaining rows, and merges them.
    for name, part in (("a.csv", slice(0, None, 2)), ("b.parquet", slice(1, None, 2))):
        write(folder, name, GOOD[part] + BAD[part])
        lakekit.run(tmp_path / "source", lake, engine=engine, tables=tables)
    for name, refused in REFUSED.items():
        rules = read(lake, f"quarantine/{name}", "_rule")
        assert rules == {key: (rule,) for key, rule in refused.items()}
        meant = {row[0] for row in GOOD + BAD} - set(refused)
        assert set(read(lake, f"silver/{name}", "id")) == meant
    ports = {
        row[0]: (row[2],) for row in GOOD + BAD if row[0] not in REFUSED["by_port"]
    }
    assert read(lake, "silver/by_port", "port") == ports
    for other in ENGINES:
        assert not lakekit.run(
            tmp_path / "source", lake, engine=other, tables=tables
        ).changed
        shown = lakekit.show("silver.by_port", lake, engine=other, tables=tables)
        assert {row["id"]: (row["port"],) for row in shown.rows} == ports


@pytest.mark.parametrize("name", ENGINES)
def test_gold_value_that_no_table_can_store_prevents_the_commit(
    name: str, spark: SparkSession, tmp_path: Path
) -> None:
    scratch, tables = tmp_path / "scratch", TableSet((bronze(VISITS), GOLD), tmp_path)
    scratch.mkdir()
    engine: Engine
    if name == "spark":
        from lakekit.engines.spark.engine import SparkEngine

        engine = SparkEngine(find_lake(tmp_path / "lake"), tables, scratch, spark)
    else:
        engine = EmbeddedEngine(find_lake(tmp_path / "lake"), tables, scratch)
    bad = {
        "concat('a', chr(0))": (
            "partition column port has 1 values that cannot name a folder"
        ),
        "'__HIVE_DEFAULT_PARTITION__'": (
            "partition column port has 1 values that cannot"
        ),
        "'NULL'": "partition column port has 1 values that cannot name a folder",
        f"'{LONG}'": "partition column port has 1 values that cannot name a folder",
        "''": "partition column port has 1 empty strings",
        "'x', make_date(20000, 1, 1)": (
            "column day has 1 values outside the years 1 to 9999"
        ),
        "'x', make_date(0, 1, 1)": (
            "column day has 1 values outside the years 1 to 9999"
        ),
    }
    timestamp = "timestamp" if name == "spark" else "timestamptz"
    with engine:
        engine.create(GOLD)
        for values, said in bad.items():
            day = "" if "make_date" in values else ", cast(null as date)"
            for keys in (None, "_keys"):
                sql = f"select port, day, cast(null as {timestamp}) as seen"
                sql += f" from (select {values}{day}) as t(port, day)"
                staged = engine.stage(GOLD, "staged", sql, part=keys is not None)
                engine.define("_keys", "select 'x' as port")
                head = engine.head(GOLD)
                assert head is not None and head.version == 0
                with pytest.raises(ComputeError, match=said):
                    engine.commit(GOLD, staged, head, Note("d"), keys)
        head = engine.head(GOLD)
        assert head is not None and head.version == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_file_with_names_or_text_that_no_table_can_hold_is_refused(
    engine: str, tables: TableSet, spark: SparkSession, tmp_path: Path
) -> None:
    columns = [column.name for column in VISITS.columns]
    good = pa.table(dict(zip(columns, ([value] for value in GOOD[2]))))
    # This is the invalid UTF-8 string b"\xff". pyarrow can create it only from buffers.
    offsets, text = pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")
    wrong = pa.StringArray.from_buffers(1, offsets, text)
    for table, said in {
        "a\0b": (good.append_column("a\0b", [["x"]]), "a column named 'a\\x00b'"),
        "a b": (good.append_column("a b", [["x"]]), "a column named 'a b'"),
        "text": (good.set_column(2, "port", wrong), "UTF-?8"),
        "bytes": (
            good.set_column(2, "port", [[b"\xff"]]),
            "a column port of type binary",
        ),
    }.values():
        (tmp_path / "source").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "source" / "visits.parquet")
        with pytest.raises(SourceError) as refused:
            lakekit.run(
                tmp_path / "source", tmp_path / "lake", engine=engine, tables=tables
            )
        assert refused.match(said.replace("\\", "\\\\"))
        assert not (tmp_path / "lake").exists()
