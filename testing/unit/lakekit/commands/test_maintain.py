from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Callable, List

import pytest
from deltalake import DeltaTable, write_deltalake

import lakekit
from lakekit.commands.maintain import behind
from lakekit.engines.engine import Head, Note
from lakekit.errors import InvalidLakeError, RetentionTooShortError
from lakekit.template.tables import TABLES

GOLD = "gold/sales_by_day"


def split(lake: Path, table: str) -> int:
    """Rewrite a table so that each row is in its own file. Returns the number of
    files.
    """
    rows = DeltaTable(str(lake / table)).to_pyarrow_dataset().to_table()
    for place in range(rows.num_rows):
        write_deltalake(
            str(lake / table),
            rows.slice(place, 1),
            mode="append" if place else "overwrite",
        )
    return int(rows.num_rows)


def age(lake: Path, days: int = 30) -> None:
    """Subtract `days` days from the times of all files and from the times in the
    logs.
    """
    then = time.time() - days * 86400
    for file in lake.rglob("*"):
        if file.suffix == ".json":
            text = file.read_text()
            now = str(int(time.time() * 1000))[:4]
            old = str(int(then * 1000))[:4]
            for key in ("deletionTimestamp", "timestamp", "modificationTime"):
                text = text.replace(f'"{key}":{now}', f'"{key}":{old}')
            file.write_text(text)
        if file.is_file():
            os.utime(file, (then, then))


def of(result: lakekit.MaintainResult, table: str) -> lakekit.TableMaintenance:
    return next(each for each in result.tables if each.table == table)


def test_small_files_are_put_together_once(shop: Path) -> None:
    files = split(shop, GOLD)
    first = lakekit.maintain(shop, tables=TABLES)
    assert (
        of(first, "gold.sales_by_day").compacted,
        of(first, "gold.sales_by_day").written,
    ) == (files, 1)
    assert {
        each.compacted for each in first.tables if each.table != "gold.sales_by_day"
    } == {0}
    versions = [DeltaTable(str(shop / table.folder)).version() for table in TABLES]
    assert {
        each.compacted for each in lakekit.maintain(shop, tables=TABLES).tables
    } == {0}
    assert [
        DeltaTable(str(shop / table.folder)).version() for table in TABLES
    ] == versions


def test_dry_run_changes_nothing_and_says_what_would_go(
    shop: Path, files: Callable[[Path], Any]
) -> None:
    split(shop, GOLD)
    age(shop)
    before = files(shop)
    result = lakekit.maintain(shop, tables=TABLES, dry_run=True)
    assert (
        of(result, "gold.sales_by_day").deleted >= 1
        and of(result, "gold.sales_by_day").compacted == 0
    )
    assert files(shop) == before


def test_old_files_go_and_young_ones_stay(shop: Path) -> None:
    split(shop, GOLD)
    assert {each.deleted for each in lakekit.maintain(shop, tables=TABLES).tables} == {
        0
    }
    age(shop)
    done = of(lakekit.maintain(shop, tables=TABLES), "gold.sales_by_day")
    assert done.deleted >= 9
    assert len(list((shop / GOLD).glob("*.parquet"))) == 1
    assert len(lakekit.show("gold.sales_by_day", shop, tables=TABLES).rows) == 9


def test_nothing_is_deleted_that_another_table_has_not_taken_in(shop: Path) -> None:
    split(shop, "silver/orders")
    DeltaTable(str(shop / "silver/orders")).delete("order_id = 1008")
    age(shop)
    result = lakekit.maintain(shop, tables=TABLES)
    assert result.refused and of(result, "silver.orders").waiting == (
        "gold.sales_by_day",
    )
    assert of(result, "silver.orders").deleted == 0
    lakekit.run(Path(lakekit.__file__).parent / "template/data", shop, tables=TABLES)
    age(shop)
    result = lakekit.maintain(shop, tables=TABLES)
    assert not result.refused and of(result, "silver.orders").deleted >= 9


def test_rows_written_again_as_they_were_hold_nothing_up(shop: Path) -> None:
    split(shop, "silver/orders")
    age(shop)
    assert not lakekit.maintain(shop, tables=TABLES).refused
    before = lakekit.show("gold.sales_by_day", shop, tables=TABLES).rows
    lakekit.run(Path(lakekit.__file__).parent / "template/data", shop, tables=TABLES)
    after = lakekit.show("gold.sales_by_day", shop, tables=TABLES).rows
    assert sorted(map(repr, after)) == sorted(map(repr, before))


@pytest.mark.parametrize("hours", [0, 167, -1])
def test_less_than_seven_days_is_refused(
    hours: int, shop: Path, files: Callable[[Path], Any]
) -> None:
    before = files(shop)
    with pytest.raises(RetentionTooShortError, match=f"{hours} hours") as caught:
        lakekit.maintain(shop, tables=TABLES, retain_hours=hours)
    assert (
        caught.value.exit_code == 2
        and "168" in caught.value.next_step
        and files(shop) == before
    )


def test_lake_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidLakeError, match="holds none of the tables"):
        lakekit.maintain(tmp_path / "none", tables=TABLES)


@pytest.mark.parametrize(
    ("seen", "waiting"),
    [
        ([("id", 4)], ["follower"]),  # the note of silver.orders itself is ignored
        ([("id", 5)], []),
        ([("another", 1)], []),
        ([], []),
    ],
)
def test_follower_waits_for_changes_of_the_same_table_only(
    seen: "List[tuple[str, int]]", waiting: List[str]
) -> None:
    itself = Note(reads={"silver.orders": ("id", 1)})
    table = Head("id", 7, 5, itself, False, (), "", frozenset())
    note = Note(reads=dict(zip(["silver.orders"], seen)))
    follower = Head("f", 1, 1, note, False, (), "", frozenset())
    assert (
        list(behind("silver.orders", {"silver.orders": table, "follower": follower}))
        == waiting
    )
