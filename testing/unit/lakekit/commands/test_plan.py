from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import lakekit
from lakekit.declarations.tables import Column, TableSet
from lakekit.template.tables import TABLES


def with_gold(**changes: Any) -> TableSet:
    gold = replace(TABLES["gold.sales_by_day"], **changes)
    return TableSet(
        (TABLES["bronze.orders"], TABLES["silver.orders"], gold), TABLES.sql
    )


def test_new_lake_gets_every_table(tmp_path: Path) -> None:
    result = lakekit.plan(tmp_path / "none", tables=TABLES)
    assert [(each.table, each.kind) for each in result.changes] == [
        (t.name, "create") for t in TABLES
    ]
    assert not result.needs_rebuild and not (tmp_path / "none").exists()


def test_lake_as_declared_needs_nothing(shop: Path) -> None:
    result = lakekit.plan(shop, tables=TABLES)
    assert (result.changes, result.rebuilt) == ((), ())


def test_changed_declaration_is_planned_and_nothing_written(
    shop: Path, files: Callable[[Path], Any]
) -> None:
    before, gold = files(shop), TABLES["gold.sales_by_day"]
    added = with_gold(columns=(*gold.columns, Column("note")))
    result = lakekit.plan(shop, tables=added)
    assert [(each.table, each.what) for each in result.changes] == [
        ("gold.sales_by_day", "note string")
    ]
    assert (result.needs_rebuild, result.rebuilt) == (False, ("gold.sales_by_day",))
    dropped = lakekit.plan(shop, tables=with_gold(columns=gold.columns[:-1]))
    assert dropped.needs_rebuild and [each.kind for each in dropped.changes] == [
        "drop column"
    ]
    assert files(shop) == before
