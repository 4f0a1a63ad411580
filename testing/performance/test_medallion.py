"""Bronze, silver and gold from files, into a new lake; each table's own seconds are a part of the benchmark."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from testing.performance.conftest import Measure

SAMPLE = Path(__file__).parents[1] / "data"
DAYS = 10


def tables(result: Any) -> Mapping[str, float]:
    """The seconds of each table of a run."""
    return {each.table: each.seconds for each in result.tables}


@pytest.mark.exercises("utils/lakekit/*", "testing/data/*")
def test_medallion_embedded(measure: Measure, tmp_path: Path) -> None:
    import lakekit

    lake = tmp_path / "lake"

    def clean() -> None:
        shutil.rmtree(lake, ignore_errors=True)

    result = measure(lambda: lakekit.run(SAMPLE, lake), setup=clean, parts=tables)
    assert result["silver.flights"].rows > 0


@pytest.mark.exercises("utils/lakekit/*")
def test_unchanged(measure: Measure, tmp_path: Path) -> None:
    """A run that finds nothing to do."""
    import lakekit

    lakekit.run(SAMPLE, tmp_path)
    result = measure(lambda: lakekit.run(SAMPLE, tmp_path))
    assert not result.changed


# The JVM takes longer to warm up than all else to be measured: few processes, and few rounds in each.
@pytest.mark.exercises("utils/lakekit/*")
@pytest.mark.gate(generations=2, rounds=3)
def test_medallion_spark(measure: Measure, tmp_path: Path) -> None:
    """The three tables that `lakekit init` makes: all of the flights' would take a minute a round."""
    import lakekit
    from lakekit.spark_session import spark_session

    os.environ["LAKEKIT_JARS"] = os.environ["LAKE_CI_JARS"]
    project = lakekit.init(tmp_path / "project").folder
    spec = importlib.util.spec_from_file_location("project_tables", project / "tables.py")
    assert spec is not None and spec.loader is not None
    declared = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = declared
    spec.loader.exec_module(declared)
    lake = tmp_path / "lake"

    def clean() -> None:
        shutil.rmtree(lake, ignore_errors=True)

    with spark_session(tmp_path / "spark"):
        result = measure(
            lambda: lakekit.run(project / "data", lake, engine="spark", tables=declared.TABLES),
            setup=clean,
            parts=tables,
        )
    assert result["gold.sales_by_day"].rows > 0
