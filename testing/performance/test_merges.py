"""Measures how long it takes to merge a second file of orders into a lake with many
orders.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from testing.performance.conftest import Measure
from testing.performance.projects import project

HEADER = "order_id,ordered_at,customer,item,quantity,price"
HELD, LATER = 40_000, 8_000


def orders(first: int, number: int, seed: int) -> str:
    """Return `number` orders as CSV. The first order has the id `first`. The same seed
    gives the same orders.
    """
    dice = random.Random(seed)
    rows = [
        f"{first + row},2024-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}"
        f"T10:00:00Z,c{dice.randint(1, 900)},item {dice.randint(1, 20)},"
        f"{dice.randint(1, 9)},{dice.randint(100, 9999) / 100}"
        for row in range(number)
    ]
    return "\n".join([HEADER, *rows, ""])


@pytest.mark.exercises("utils/lakekit/*")
def test_merge(measure: Measure, tmp_path: Path) -> None:
    """Measure a merge in which half of the rows in the second file replace orders in
    the lake.
    """
    import lakekit

    tables = project(lakekit.init(tmp_path / "project").folder)
    source, made, lake = tmp_path / "source", tmp_path / "made", tmp_path / "lake"
    (source / "orders").mkdir(parents=True)
    (source / "orders" / "1.csv").write_text(orders(0, HELD, seed=1), encoding="utf-8")
    lakekit.run(source, made, tables=tables)
    (source / "orders" / "2.csv").write_text(
        orders(HELD - LATER // 2, LATER, seed=2), encoding="utf-8"
    )

    def restore() -> None:
        shutil.rmtree(lake, ignore_errors=True)
        shutil.copytree(made, lake)

    result = measure(
        lambda: lakekit.run(source, lake, tables=tables, progress=measure.step),
        setup=restore,
    )
    assert result["silver.orders"].rows == HELD + LATER // 2
