"""Tests the commands that inspect and maintain a lake. The commands run with both
engines on the project of `lakekit init`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict

import pytest
from deltalake import DeltaTable, write_deltalake

import lakekit
from lakekit.commands.ddl import ddl
from lakekit.commands.init import TEMPLATE
from lakekit.declarations.tables import Table
from lakekit.nyc_flights.tables import TABLES as FLIGHTS
from lakekit.template.tables import TABLES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SCRIPTS = Path(__file__).parents[3] / "scripts"
ENGINES = ["embedded", "spark"]


@pytest.fixture(scope="module")
def lakes(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> Dict[str, Path]:
    """Return two lakes of one project, one for each engine. Only maintenance changes
    them.
    """
    folder = tmp_path_factory.mktemp("lakes")
    for engine in ENGINES:
        lakekit.run(TEMPLATE / "data", folder / engine, engine=engine, tables=TABLES)
    return {engine: folder / engine for engine in ENGINES}


@pytest.mark.parametrize("engine", ENGINES)
def test_lakes_of_both_engines_do_not_differ(
    engine: str, lakes: Dict[str, Path]
) -> None:
    result = lakekit.diff(
        lakes["embedded"], lakes["spark"], engine=engine, tables=TABLES
    )
    assert not result.differs, result
    assert [(each.rows_a, each.rows_b) for each in result.tables] == [
        (12, 12),
        (9, 9),
        (2, 2),
        (9, 9),
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_difference_is_found_on_either_engine(
    engine: str, lakes: Dict[str, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    lakekit.run(TEMPLATE / "data", other, tables=TABLES)
    silver, gold = DeltaTable(str(other / "silver/orders")), DeltaTable(
        str(other / "gold/sales_by_day")
    )
    silver.update({"customer": "null"}, predicate="order_id = 1001")
    silver.delete("order_id = 1008")
    gold.update({"euros": "euros * (1 + 2e-13)"}, predicate="item = 'cup'")
    result = lakekit.diff(lakes["spark"], other, engine=engine, tables=TABLES)
    found = {
        t.table: (t.only_a, t.only_b, t.changed, dict(t.columns))
        for t in result.tables
        if t.differs
    }
    assert found == {"silver.orders": (1, 0, 1, {"customer": 1})}


@pytest.mark.parametrize("engine", ENGINES)
def test_quality_and_plan_say_the_same_on_either_engine(
    engine: str, lakes: Dict[str, Path]
) -> None:
    for lake in lakes.values():
        result = lakekit.quality(lake, engine=engine, tables=TABLES)
        assert [(each.name, each.unmet, each.rows) for each in result.checks] == [
            ("quantity is positive", 0, 9),
            ("customer is known", 1, 9),
            ("price_not_negative", 0, 9),
        ]
        assert result.quarantined == {
            "quarantine.orders": {"quantity is positive": 1, "type: quantity": 1}
        }
        plan = lakekit.plan(lake, engine=engine, tables=TABLES)
        assert (plan.changes, plan.rebuilt) == ((), ())


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINES)
def test_small_files_are_put_together_on_either_engine(
    engine: str, spark: SparkSession, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    lakekit.run(TEMPLATE / "data", lake, tables=TABLES)
    path = str(lake / "gold/sales_by_day")
    rows = DeltaTable(path).to_pyarrow_dataset().to_table()
    write_deltalake(path, rows.slice(0, 4), mode="overwrite")
    write_deltalake(path, rows.slice(4), mode="append")
    result = lakekit.maintain(lake, engine=engine, tables=TABLES)
    assert [(each.compacted, each.written) for each in result.tables] == [
        (0, 0),
        (0, 0),
        (0, 0),
        (2, 1),
    ]
    assert not result.refused and {each.deleted for each in result.tables} == {0}
    again = lakekit.maintain(lake, engine=engine, tables=TABLES)
    assert {each.compacted for each in again.tables} == {0}
    assert sorted(
        map(repr, DeltaTable(path).to_pyarrow_dataset().to_table().to_pylist())
    ) == sorted(map(repr, rows.to_pylist()))


def check_declared(spark: SparkSession, table: Table, name: str) -> None:
    """Check that a table matches its declaration."""
    detail = spark.sql(f"DESCRIBE DETAIL {name}").collect()[0]
    declared = [(c.name, c.type, not c.required, c.comment) for c in table.columns]
    assert [
        (f.name, f.dataType.simpleString(), f.nullable, f.metadata.get("comment", ""))
        for f in spark.table(name).schema.fields
    ] == declared
    assert detail["partitionColumns"] == ([table.partition] if table.partition else [])
    assert (detail["description"] or "") == table.comment
    assert detail["properties"]["delta.enableChangeDataFeed"] == "true"
    assert detail["minReaderVersion"] == 1, detail
    constraints = {
        key for key in detail["properties"] if key.startswith("delta.constraints.")
    }
    assert constraints == {
        f"delta.constraints.{each.name}" for each in table.constraints
    }


@pytest.mark.long
def test_ddl_makes_the_declared_tables_and_may_be_run_again(
    spark: SparkSession,
) -> None:
    only = [
        table
        for table in FLIGHTS
        if table.name in ("silver.flights", "bronze.airlines")
    ]
    names = {
        table.name: f"spark_catalog.made_by_ddl.{table.name.replace('.', '_')}"
        for table in only
    }
    quoted = [
        "CREATE SCHEMA",
        *(f"`{name.rpartition('.')[2]}`" for name in names.values()),
    ]
    statements = [
        s
        for s in ddl("spark_catalog.made_by_ddl").statements
        if any(q in s for q in quoted)
    ]
    try:
        for statement in statements * 2:
            spark.sql(statement)
        for table in only:
            check_declared(spark, table, names[table.name])
    finally:
        spark.sql("DROP SCHEMA IF EXISTS spark_catalog.made_by_ddl CASCADE")


def script(name: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    paths = [str(Path(lakekit.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment: Dict[str, Any] = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    command = [
        sys.executable,
        str(SCRIPTS / name),
        *map(str, arguments),
        "--tables",
        "lakekit.template.tables",
    ]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=600
    )


def test_scripts_run_as_a_job_would_run_them(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    done = script("run_medallion.py", "--source", TEMPLATE / "data", "--lake", lake)
    assert (done.returncode, done.stderr) == (
        0,
        "",
    ) and "4 of 4 tables written" in done.stdout
    done = script("check_quality.py", "--lake", lake)
    assert done.returncode == 0 and "0 of 3 checks failed, 1 warnings" in done.stdout
    done = script("maintain_tables.py", "--lake", lake, "--dry-run")
    assert done.returncode == 0 and "gold.sales_by_day" in done.stdout
    done = script("check_quality.py", "--lake", tmp_path / "none")
    assert (
        done.returncode == 2
        and "holds none of the tables" in done.stderr
        and "Traceback" not in done.stderr
    )
