"""Tests the commands that a lake needs over time: they create a project, maintain a
lake for weeks, and compare two lakes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

import lakekit
from lakekit.commands.init import TEMPLATE
from lakekit.nyc_flights.tables import TABLES
from lakekit.template.tables import TABLES as ORDERS

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).parents[3]
HEADER = "order_id,ordered_at,customer,item,quantity,price"
NAMES = ["bronze.orders", "silver.orders", "quarantine.orders", "gold.sales_by_day"]


def lakekit_command(folder: Path, *arguments: str, code: int = 0) -> str:
    """Run a lakekit command and check its exit code. Returns its output."""
    return started([sys.executable, "-m", "lakekit", *arguments], folder, code)


def started(command: List[str], folder: Path, code: int) -> str:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LAKEKIT_")
    }
    environment["PYTHONPATH"] = str(REPOSITORY / "utils")
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def order(source: Path, number: int, customer: str = "Ada") -> None:
    """Add a file with one more order to the source folder."""
    (source / "orders").mkdir(exist_ok=True)
    row = f"{number},2024-05-{number % 28 + 1:02}T08:15:00Z,{customer},teapot,1,24.50"
    (source / "orders" / f"{number}.csv").write_text(f"{HEADER}\n{row}\n")


def age(lake: Path, days: int = 30) -> None:
    """Subtract `days` days from the times of all files and from the times in the logs.
    The files that were replaced are then older than the retention period of seven days.
    """
    then = time.time() - days * 86400
    for file in [file for file in lake.rglob("*") if file.is_file()]:
        if file.suffix == ".json":
            actions = [json.loads(line) for line in file.read_text().splitlines()]
            for action in actions:
                for kind, name in (
                    ("commitInfo", "timestamp"),
                    ("remove", "deletionTimestamp"),
                ):
                    if kind in action:
                        action[kind][name] = int(then * 1000)
            file.write_text("".join(json.dumps(action) + "\n" for action in actions))
        os.utime(file, (then, then))


def modes(result: lakekit.RunResult) -> Dict[str, str]:
    return {
        table.table: table.mode
        for table in result.tables
        if table.table != "quarantine.orders"
    }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a source folder with the orders of `lakekit init`. Tests add files with
    `order`.
    """
    folder = tmp_path / "source"
    (folder / "orders").mkdir(parents=True)
    shutil.copy(TEMPLATE / "data" / "orders.csv", folder / "orders" / "first.csv")
    return folder


@pytest.fixture
def lake(source: Path, tmp_path: Path) -> Path:
    """Return a lake of orders whose tables have several files, because four runs wrote
    to the lake.
    """
    for number in (0, 2001, 2002, 2003):
        if number:
            order(source, number)
        lakekit.run(source, tmp_path / "lake", tables=ORDERS)
    return tmp_path / "lake"


def test_project_from_an_empty_folder_to_gold(tmp_path: Path) -> None:
    # Keep the folder open, as a shell does. `lakekit init .` must not replace the
    # folder.
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        lakekit_command(tmp_path, "init", ".")
        assert "tables.py" in os.listdir(folder)
    finally:
        os.close(folder)
    assert "4 of 4 tables written" in lakekit_command(tmp_path, "run")
    assert "unchanged" in lakekit_command(tmp_path, "run")
    assert "0 of 3 checks failed, 1 warnings" in lakekit_command(tmp_path, "quality")
    assert "Nothing to change." in lakekit_command(tmp_path, "plan")
    shown = json.loads(lakekit_command(tmp_path, "show", "gold.sales_by_day", "--json"))
    assert [row for row in shown["rows"] if row["item"] == "teapot"] != []
    refused = lakekit_command(tmp_path, "init", ".", code=2)
    assert "not an empty folder" in refused and "Next: " in refused


def test_next_run_after_maintenance_makes_nothing_anew(
    lake: Path, source: Path
) -> None:
    first = lakekit.maintain(lake, tables=ORDERS)
    assert {t.table for t in first.tables if t.compacted} == {
        "bronze.orders",
        "silver.orders",
        "gold.sales_by_day",
    }
    age(lake)
    second = lakekit.maintain(lake, tables=ORDERS)
    assert not second.refused and all(
        t.deleted for t in second.tables if t.table != "quarantine.orders"
    )
    order(source, 2009)
    result = lakekit.run(source, lake, tables=ORDERS)
    assert modes(result) == {
        "bronze.orders": "appended",
        "silver.orders": "merged",
        "gold.sales_by_day": "groups",
    }
    assert (
        result["silver.orders"].counts.read
        == result["gold.sales_by_day"].counts.groups
        == 1
    )


def test_files_that_a_table_has_yet_to_take_in_are_kept(
    lake: Path, source: Path, tmp_path: Path
) -> None:
    shutil.copytree(lake / "gold", tmp_path / "gold")
    order(source, 2009)
    lakekit.run(source, lake, tables=ORDERS)
    shutil.rmtree(lake / "gold")
    shutil.copytree(
        tmp_path / "gold", lake / "gold"
    )  # the state after a run that was killed before it wrote the gold tables
    lakekit.maintain(lake, tables=ORDERS)
    age(lake)
    before = sorted((lake / "silver" / "orders").glob("*.parquet"))
    found = {
        table.table: table for table in lakekit.maintain(lake, tables=ORDERS).tables
    }
    assert (
        found["silver.orders"].waiting == ("gold.sales_by_day",)
        and not found["silver.orders"].deleted
    )
    assert found["gold.sales_by_day"].deleted  # no table reads the gold table
    assert set(before) <= set((lake / "silver" / "orders").glob("*.parquet"))
    assert "Next: lakekit run" in maintained(lake, code=1)
    assert (
        lakekit.run(source, lake, tables=ORDERS)["gold.sales_by_day"].mode == "groups"
    )
    assert maintained(lake, code=0)


def maintained(lake: Path, code: int) -> str:
    arguments = (
        "maintain",
        "--dry-run",
        "--lake",
        str(lake),
        "--tables",
        "lakekit.template.tables",
    )
    return lakekit_command(lake, *arguments, code=code)


def test_lakes_made_in_one_go_and_bit_by_bit_differ_in_nothing(
    lake: Path, source: Path, tmp_path: Path
) -> None:
    lakekit.run(source, tmp_path / "whole", tables=ORDERS)
    result = lakekit.diff(lake, tmp_path / "whole", tables=ORDERS)
    assert not result.differs and [table.table for table in result.tables] == NAMES
    assert result.tables[0].rows_a == result.tables[0].rows_b == 15


def test_new_column_of_bronze_is_compared_too(source: Path, tmp_path: Path) -> None:
    (source / "orders" / "new.csv").write_text(
        f"{HEADER},note\n3001,2024-06-01T08:15:00Z,Ada,cup,1,6.00,gift\n"
    )
    lakes = [tmp_path / "a", tmp_path / "b"]
    for each in lakes:
        lakekit.run(source, each, tables=ORDERS)
    assert not lakekit.diff(*lakes, tables=ORDERS).differs
    bronze = str(lakes[1] / "bronze" / "orders")
    rows = DeltaTable(bronze).to_pyarrow_dataset().to_table()
    place = rows.schema.get_field_index("note")
    notes: Any = pa.array(
        [note and "parcel" for note in rows.column("note").to_pylist()], pa.string()
    )
    write_deltalake(
        bronze,
        rows.set_column(place, rows.schema.field(place).name, notes),
        mode="overwrite",
    )
    found = lakekit.diff(*lakes, tables=ORDERS).tables[0]
    assert (found.table, found.changed, dict(found.columns)) == (
        "bronze.orders",
        1,
        {"note": 1},
    )


def test_scripts_of_a_job_run_here_as_they_do_on_a_cluster(
    sample: Path, tmp_path: Path
) -> None:
    def script(name: str, *arguments: str, code: int = 0) -> str:
        return started(
            [sys.executable, str(REPOSITORY / "scripts" / name), *arguments],
            tmp_path,
            code,
        )

    lake = str(tmp_path / "lake")
    assert "tables written" in script(
        "run_medallion.py", "--source", str(sample), "--lake", lake
    )
    assert "0 of 9 checks failed" in script("check_quality.py", "--lake", lake)
    assert "gold.busiest_hours" in script(
        "maintain_tables.py", "--lake", lake, "--dry-run"
    )
    flights = str(tmp_path / "lake" / TABLES["silver.flights"].folder)
    rows = DeltaTable(flights).to_pyarrow_dataset().to_table()
    place = rows.schema.get_field_index("dest")
    write_deltalake(
        flights, rows.set_column(place, "dest", rows.column("origin")), mode="overwrite"
    )
    failed = script("check_quality.py", "--lake", lake, code=1)
    assert (
        "origin is not the destination" in failed and "1 of 9 checks failed" in failed
    )
    assert "holds none of the tables" in script(
        "check_quality.py", "--lake", str(tmp_path / "none"), code=2
    )
    assert "The setting source is missing" in script(
        "run_medallion.py", "--lake", lake, code=2
    )
