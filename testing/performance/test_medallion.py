"""Measure the load of files into the bronze, silver and gold tables of a new lake.

The benchmarks also report the time for each table.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from testing.performance.conftest import Measure, watch_children
from testing.performance.projects import project

SAMPLE = Path(__file__).parents[1] / "data"


@pytest.mark.exercises("utils/lakekit/*", "testing/data/*")
def test_medallion_embedded(measure: Measure, tmp_path: Path) -> None:
    import lakekit

    lake = tmp_path / "lake"

    def clean() -> None:
        shutil.rmtree(lake, ignore_errors=True)

    result = measure(
        lambda: lakekit.run(SAMPLE, lake, progress=measure.step), setup=clean
    )
    assert result["silver.flights"].rows > 0


@pytest.mark.exercises("utils/lakekit/*")
def test_unchanged(measure: Measure, tmp_path: Path) -> None:
    """Measure a run without new files."""
    import lakekit

    lakekit.run(SAMPLE, tmp_path)
    result = measure(lambda: lakekit.run(SAMPLE, tmp_path))
    assert not result.changed


# Only a few processes and rounds, because the JVM's warm-up takes longer than all other
# benchmarks together.
@pytest.mark.exercises("utils/lakekit/*")
@pytest.mark.gate(generations=2, rounds=3)
def test_medallion_spark(
    measure: Measure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measure only the three tables of `lakekit init`, because all tables of the
    flights would take a minute per round.
    """
    import lakekit
    from lakekit.engines.spark.session import spark_session

    # Disable the JVM's optimizing compiler (C2). C2 works for minutes, and its work
    # differs in each run, so the times would differ.
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")
    if "LAKE_CI_JARS" in os.environ:
        monkeypatch.setenv("LAKEKIT_JARS", os.environ["LAKE_CI_JARS"])
    folder = lakekit.init(tmp_path / "project").folder
    tables, lake = project(folder), tmp_path / "lake"

    def clean() -> None:
        shutil.rmtree(lake, ignore_errors=True)

    with spark_session(tmp_path / "spark"):
        watch_children()
        result = measure(
            lambda: lakekit.run(
                folder / "data",
                lake,
                engine="spark",
                tables=tables,
                progress=measure.step,
            ),
            setup=clean,
        )
    assert result["gold.sales_by_day"].rows > 0
