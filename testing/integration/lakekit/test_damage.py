"""Damages every part of a table, and tests what the Spark engine reports.

`testing/unit/lakekit/damage.py` tests all damage.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from testing.unit.lakekit.damage import check

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EVERY = 19


def test_damage_on_spark_is_named_or_not_needed(
    spark: SparkSession, tmp_path: Path
) -> None:
    codes, wrong = check(tmp_path, "spark", EVERY)
    assert not wrong, "\n".join(wrong)
    assert sum(codes.values()) >= 12 and min(codes[0], codes[4]) >= 3
