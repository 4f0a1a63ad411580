"""Tests that damaged lakes can be repaired with the commands in the error messages.
After the repair, the next run must give the rows of an undamaged lake. Lakes are
damaged by invalid commits, and by deleted or damaged files.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Sequence

import pytest
from deltalake import DeltaTable, Field
from deltalake.exceptions import DeltaError
from deltalake.schema import PrimitiveType
from deltalake.transaction import AddAction

import lakekit
from lakekit.cli.main import call
from lakekit.cli.settings import Settings
from lakekit.declarations.tables import TableSet
from lakekit.errors import DamagedTableError
from lakekit.storage.versions import UnrestorableVersionError
from testing.integration.lakekit import shop

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Damage = Callable[[Path], None]
SMALL_TABLES = """
from pathlib import Path
from lakekit.declarations.tables import Column, Source, Table, TableSet, bronze
DAY = Column("day", "date", required=True)
SALES = Source("sales", (Column("id", required=True), DAY))
DAYS = Table(
    "silver.days", (Column("id", required=True), DAY), ("bronze.sales",), "days.sql",
    key=("id",), partition="day",
)
TOTALS = Table(
    "gold.totals", (DAY, Column("sales", "bigint", required=True)), ("silver.days",),
    "totals.sql", key=("day",),
)
TABLES = TableSet((bronze(SALES), DAYS, TOTALS), sql=Path(__file__).parent)
"""


@dataclass(frozen=True)
class Small:
    """A project with three tables."""

    source: Path
    lake: Path
    file: Path

    @property
    def tables(self) -> TableSet:
        """Return the declared tables."""
        return Settings(tables=str(self.file)).table_set()


def files_of(lake: Path, table: str, version: Optional[int] = None) -> List[Path]:
    return [
        Path(uri) for uri in DeltaTable(str(lake / table), version=version).file_uris()
    ]


def commit_partition(lake: Path, table: str, values: Dict[str, Optional[str]]) -> None:
    """Commit a data file with these partition values to a table."""
    delta = DeltaTable(str(lake / table))
    name = "part-damaged.parquet"
    shutil.copy(files_of(lake, table)[0], lake / table / name)
    size = (lake / table / name).stat().st_size
    action = AddAction(name, size, values, 0, True, '{"numRecords": 1}')
    try:
        delta.create_write_transaction([action], "append", delta.schema(), list(values))
    except (DeltaError, ValueError):
        pass  # delta-rs has written the commit, but cannot read it


def month(name: str, value: Optional[str]) -> Damage:
    """Return a function that damages a lake: it commits a partition value that is not a
    date in the years 1 to 9999.
    """

    def damage(lake: Path) -> None:
        commit_partition(lake, "silver/orders", {"month": value})

    damage.__name__ = name
    return damage


def nul_heading(lake: Path) -> None:
    delta = DeltaTable(str(lake / "bronze/customers"))
    delta.alter.add_columns([Field("a\0b", PrimitiveType("string"))])


def lost_file(table: str) -> Damage:
    """Return a function that damages a lake: it deletes the data files that the newest
    version of a table added.
    """

    def damage(lake: Path) -> None:
        newest = DeltaTable(str(lake / table)).version()
        before = set(files_of(lake, table, newest - 1))
        for file in set(files_of(lake, table)) - before:
            file.unlink()

    damage.__name__ = f"lost_{table.replace('/', '_')}"
    return damage


def file_of_an_equal_source(lake: Path) -> None:
    """Damage a lake as older releases of lakekit sometimes did if two source files were
    equal. The log of a table then lists a data file that is in a different table's
    folder.
    """
    lost = next(
        iter(
            set(files_of(lake, "bronze/orders"))
            - set(files_of(lake, "bronze/orders", 1))
        )
    )
    lost.rename(lake / "bronze/customers" / lost.name)


def cut_off_file(lake: Path) -> None:
    for table in ("bronze/orders", "gold/city_months"):
        newest = DeltaTable(str(lake / table)).version()
        file = next(
            iter(set(files_of(lake, table)) - set(files_of(lake, table, newest - 1)))
        )
        file.write_bytes(file.read_bytes()[:-1])


BY_EMBEDDED: Sequence[Damage] = (
    month("year_0", "0001-01-01 (BC)"),
    month("year_minus_44", "0045-03-15 (BC)"),
    month("year_20000", "20000-01-01"),
)
"""Commits of invalid months, in the format that the embedded engine writes."""
OLD_READER = sys.version_info < (3, 10)
"""Whether the installed version of deltalake is the last version for Python 3.9."""
DAMAGES: Sequence[Damage] = (
    *(() if OLD_READER else BY_EMBEDDED),
    month("year_0_by_spark", "0000-01-01"),
    month("year_minus_44_by_spark", "-0044-03-15"),
    month("year_20000_by_spark", "+20000-01-01"),
    month("null_month", None),
    nul_heading,
    file_of_an_equal_source,
    cut_off_file,
    *map(
        lost_file,
        ("bronze/orders", "silver/orders", "quarantine/orders", "gold/city_months"),
    ),
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    shop.write(folder, shop.CUSTOMERS, "1", [("c1", "Bern", "false", shop.at(0))])
    orders = [
        ("o1", "c1", "1", "5", shop.at(0)),
        ("o2", "c2", "1", "6", shop.at(0)),
        ("o3", "c1", "13", "7", shop.at(0)),
    ]
    shop.write(folder, shop.ORDERS, "1", orders)
    return folder


def more(source: Path) -> None:
    """Add files with corrections of earlier rows, with customers that were missing, and
    with rows that are refused.
    """
    shop.write(source, shop.CUSTOMERS, "2", [("c2", "Bonn", "false", shop.at(1))])
    orders = [("o1", "c1", "2", "8", shop.at(1)), ("o4", "c9", "1", "1", shop.at(1))]
    shop.write(source, shop.ORDERS, "2", orders)


def repair(
    source: Path,
    lake: Path,
    engine: str,
    tables: str,
    capsys: pytest.CaptureFixture[str],
) -> List[str]:
    """Run lakekit, and then the command that the error message recommends, until a run
    succeeds. Returns the restored tables.
    """
    flags = f"--lake {lake} --engine {engine} --tables {tables}"
    restored: List[str] = []
    while True:
        code = call(shlex.split(f"run --source {source} {flags}"))
        err = capsys.readouterr().err
        if code == 0:
            return restored
        assert code == 4 and "Traceback" not in err, err
        name, command = err.splitlines()[-1].split(": ", 1)
        assert name == "Next" and command.startswith("lakekit restore "), err
        table = command.split()[2]
        assert table not in restored, "restored twice"
        assert call(shlex.split(command)[1:]) == 0
        restored.append(table)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_lake_is_repaired_by_the_named_command(
    damage: Damage, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake, other = tmp_path / "lake", tmp_path / "other"
    lakekit.run(source, lake, tables=shop.TABLES)
    more(source)
    lakekit.run(source, lake, tables=shop.TABLES)
    damage(lake)
    shop.write(source, shop.ORDERS, "3", [("o5", "c2", "3", "2", shop.at(2))])
    assert repair(source, lake, "embedded", shop.__name__, capsys)
    lakekit.run(source, other, tables=shop.TABLES)
    assert shop.contents(lake) == shop.contents(other)
    assert not lakekit.run(source, lake, tables=shop.TABLES).changed


@pytest.mark.skipif(
    not OLD_READER, reason="the deltalake of Python 3.10 passes over them"
)
@pytest.mark.parametrize("damage", BY_EMBEDDED, ids=lambda damage: damage.__name__)
def test_reader_that_cannot_pass_over_an_older_commit_is_named(
    damage: Damage, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = tmp_path / "lake"
    lakekit.run(source, lake, tables=shop.TABLES)
    damage(lake)
    flags = f"--lake {lake} --tables {shop.__name__}"
    assert call(shlex.split(f"restore silver.orders --version 0 {flags}")) == 0
    capsys.readouterr()
    assert call(shlex.split(f"run --source {source} {flags}")) == 3
    err = capsys.readouterr().err
    assert "silver.orders cannot be read" in err and "Use Python 3.10" in err


def test_file_of_damaged_content_is_repaired_by_an_older_version(
    source: Path, tmp_path: Path
) -> None:
    """The content of the file is damaged, but its size is right. So the damage is found
    only when the file is read.
    """
    lake, other = tmp_path / "lake", tmp_path / "other"
    lakekit.run(source, lake, tables=shop.TABLES)
    more(source)
    lakekit.run(source, lake, tables=shop.TABLES)
    (file,) = set(files_of(lake, "bronze/orders")) - set(
        files_of(lake, "bronze/orders", 1)
    )
    content = file.read_bytes()
    file.write_bytes(
        content[:20] + bytes(byte ^ 0x5A for byte in content[20:120]) + content[120:]
    )
    with pytest.raises(DamagedTableError) as damaged:
        lakekit.show("bronze.orders", lake, tables=shop.TABLES)
    assert damaged.value.next_step == "lakekit restore bronze.orders"
    lakekit.restore("bronze.orders", lake, 1, tables=shop.TABLES)
    lakekit.run(source, lake, tables=shop.TABLES)
    lakekit.run(source, other, tables=shop.TABLES)
    assert shop.contents(lake) == shop.contents(other)


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Return a small project, and its lake after two runs with the embedded engine. The
    project has few tables, because Spark takes seconds per table.
    """
    folder, project = tmp_path / "sales", tmp_path / "project"
    for made in (folder, project):
        made.mkdir()
    (project / "tables.py").write_text(SMALL_TABLES)
    (project / "days.sql").write_text(
        "select id, cast(day as date) as day from bronze.sales"
    )
    (project / "totals.sql").write_text(
        "select day, count(*) as sales from silver.days group by day"
    )
    found = Small(folder, tmp_path / "small", project / "tables.py")
    for number in (1, 2):
        (folder / "sales").mkdir(exist_ok=True)
        (folder / "sales" / f"{number}.csv").write_text(
            f"id,day\n{number},2024-01-0{number}\n"
        )
        lakekit.run(folder, found.lake, tables=found.tables)
    return found


@pytest.mark.long
def test_damaged_lake_is_repaired_on_spark_by_the_named_commands(
    small: Small,
    spark: SparkSession,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lost_file("bronze/sales")(small.lake)
    commit_partition(small.lake, "silver/days", {"day": "0001-01-01 (BC)"})
    DeltaTable(str(small.lake / "gold/totals")).alter.add_columns(
        [Field("a\0b", PrimitiveType("string"))]
    )
    restored = repair(small.source, small.lake, "spark", str(small.file), capsys)
    assert restored == ["bronze.sales", "silver.days", "gold.totals"]
    lakekit.run(small.source, tmp_path / "other", tables=small.tables)
    assert shop.contents(small.lake, small.tables) == shop.contents(
        tmp_path / "other", small.tables
    )
    assert not lakekit.run(small.source, small.lake, tables=small.tables).changed


@pytest.mark.long
def test_table_of_a_schema_is_restored_by_spark(
    small: Small,
    spark: SparkSession,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lake, tables = "spark_catalog.restored", small.tables
    try:
        lakekit.run(small.source, lake, engine="spark", tables=tables)
        found = lakekit.restore(
            "bronze.sales", lake, engine="spark", tables=tables
        ).versions
        assert [(each.number, each.whole) for each in found] == [
            (2, True),
            (1, True),
            (0, True),
        ]
        (detail,) = spark.sql(f"DESCRIBE DETAIL {lake}.bronze_sales").collect()
        for file in Path(detail["location"][len("file:") :]).glob("*.parquet"):
            file.unlink()
        with pytest.raises(DamagedTableError) as damaged:
            lakekit.show("bronze.sales", lake, engine="spark", tables=tables)
        assert damaged.value.next_step == "lakekit restore bronze.sales"
        with pytest.raises(
            UnrestorableVersionError,
            match="version 2 has missing or damaged files: .*undamaged versions: 0",
        ):
            lakekit.restore("bronze.sales", lake, 2, engine="spark", tables=tables)
        done = lakekit.restore("bronze.sales", lake, 0, engine="spark", tables=tables)
        assert (done.committed, done.added, done.removed) == (3, 0, 2)
        assert lakekit.run(small.source, lake, engine="spark", tables=tables).changed
        rows = spark.table(f"{lake}.gold_totals").orderBy("day").collect()
        assert [(str(row[0]), row[1]) for row in rows] == [
            ("2024-01-01", 1),
            ("2024-01-02", 1),
        ]
    finally:
        spark.sql(f"DROP SCHEMA IF EXISTS {lake} CASCADE")


def test_restored_rows_are_seen_by_the_other_engine(
    source: Path, tmp_path: Path
) -> None:
    """The silver table must be recomputed, even if a program other than lakekit
    restored it.
    """
    lake = tmp_path / "lake"
    lakekit.run(source, lake, tables=shop.TABLES)
    before: Dict[str, shop.Rows] = shop.contents(lake)
    DeltaTable(str(lake / "silver/orders")).restore(0)
    assert (
        lakekit.run(source, lake, tables=shop.TABLES)["silver.orders"].mode == "whole"
    )
    assert shop.contents(lake) == before
