from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Callable

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

import lakekit
from lakekit.commands.init import TEMPLATE
from lakekit.errors import InvalidLakeError
from lakekit.template.tables import TABLES

Edit = Callable[[pa.Table], pa.Table]
GOLD = "gold/sales_by_day"


@pytest.fixture
def lakes(shop: Path, tmp_path: Path) -> "tuple[Path, Path]":
    """Return two copies of one lake."""
    shutil.copytree(shop, tmp_path / "b")
    return shop, tmp_path / "b"


def edit(lake: Path, table: str, change: Edit) -> None:
    """Change the rows of a table with a function."""
    rows = pa.table(DeltaTable(str(lake / table)).to_pyarrow_dataset().to_table())
    write_deltalake(str(lake / table), change(rows), mode="overwrite")


def compared(a: Path, b: Path, table: str) -> lakekit.TableDiff:
    """Compare two lakes, and return the differences in `table`. Check that all other
    tables are equal.
    """
    result = lakekit.diff(a, b, tables=TABLES)
    assert [each.table for each in result.tables if each.differs] in ([], [table])
    assert len(result.tables) == 4
    return next(each for each in result.tables if each.table == table)


def scale(lake: Path, factor: float) -> None:
    DeltaTable(str(lake / GOLD)).update({"euros": f"euros * {factor!r}"})


def test_lakes_made_from_the_same_files_at_other_times_are_the_same(
    shop: Path, tmp_path: Path
) -> None:
    lakekit.run(TEMPLATE / "data", tmp_path / "again", tables=TABLES)
    result = lakekit.diff(shop, tmp_path / "again", tables=TABLES)
    assert not result.differs
    assert [(each.rows_a, each.rows_b) for each in result.tables] == [
        (12, 12),
        (9, 9),
        (2, 2),
        (9, 9),
    ]


def test_double_may_differ_by_its_tolerance_and_no_more(
    lakes: "tuple[Path, Path]",
) -> None:
    a, b = lakes
    scale(b, 1 + 4e-13)
    assert not compared(a, b, "gold.sales_by_day").differs
    scale(b, 1 + 1e-9)
    found = compared(a, b, "gold.sales_by_day")
    assert (found.only_a, found.only_b, found.changed, found.columns) == (
        0,
        0,
        9,
        {"euros": 9},
    )


def test_rows_that_one_lake_lacks_and_rows_that_changed_are_told_apart(
    lakes: "tuple[Path, Path]",
) -> None:
    a, b = lakes
    silver = DeltaTable(str(b / "silver/orders"))
    silver.update({"customer": "null"}, predicate="customer = 'Ada'")
    silver.delete("order_id = 1011")
    DeltaTable(str(a / "silver/orders")).delete("order_id = 1008")
    found = compared(a, b, "silver.orders")
    assert (found.rows_a, found.rows_b) == (8, 8)
    assert (found.only_a, found.only_b, found.changed, found.columns) == (
        1,
        1,
        3,
        {"customer": 3},
    )


def test_row_that_is_there_once_more_is_a_difference(
    lakes: "tuple[Path, Path]",
) -> None:
    a, b = lakes
    edit(b, "silver/orders", lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]))
    found = compared(a, b, "silver.orders")
    assert (found.only_a, found.only_b, found.changed) == (0, 1, 0)


@pytest.mark.parametrize("table", ["bronze.orders", "quarantine.orders"])
def test_bronze_and_quarantine_are_compared_too(
    table: str, lakes: "tuple[Path, Path]"
) -> None:
    a, b = lakes
    edit(a, table.replace(".", "/"), lambda rows: rows.slice(1))
    found = compared(a, b, table)
    assert (found.only_a, found.only_b, found.changed) == (0, 1, 0)


def test_missing_table_is_a_difference(lakes: "tuple[Path, Path]") -> None:
    a, b = lakes
    shutil.rmtree(b / GOLD)
    found = compared(a, b, "gold.sales_by_day")
    assert (found.rows_a, found.rows_b, found.only_a) == (9, None, 9)


def test_column_that_only_one_lake_has_is_a_difference(
    lakes: "tuple[Path, Path]",
) -> None:
    a, b = lakes

    def grown(rows: pa.Table) -> pa.Table:
        return rows.append_column("more", pa.array(["x"] * rows.num_rows))

    rows = grown(pa.table(DeltaTable(str(b / GOLD)).to_pyarrow_dataset().to_table()))
    write_deltalake(str(b / GOLD), rows, mode="overwrite", schema_mode="merge")
    found = compared(a, b, "gold.sales_by_day")
    assert found.shape == ("more string (B)",) and (
        found.only_a,
        found.only_b,
        found.changed,
    ) == (0, 0, 0)


@pytest.mark.parametrize(
    ("other", "why"), [("s3://bucket/lake", "on S3"), ("main.orders", "a schema")]
)
def test_lakes_of_two_kinds_are_refused(other: str, why: str, shop: Path) -> None:
    with pytest.raises(InvalidLakeError, match=why) as caught:
        lakekit.diff(shop, other, tables=TABLES)
    assert "Copy one" in caught.value.next_step


def test_two_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidLakeError, match="Neither"):
        lakekit.diff(tmp_path / "none", tmp_path / "neither", tables=TABLES)


def test_nothing_is_written(
    lakes: "tuple[Path, Path]", files: Callable[[Path], Any]
) -> None:
    before = [files(lake) for lake in lakes]
    lakekit.diff(*lakes, tables=TABLES)
    assert [files(lake) for lake in lakes] == before
