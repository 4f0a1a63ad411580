"""Measures the plan and the workflow text of a large graph of jobs, and a summary of
many results.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from testing.performance.conftest import Measure

JOBS, RESULTS, TESTS = 2000, 24, 150
COMMIT = "c" * 40
EXERCISES = pytest.mark.exercises("utils/lake_ci/*", "noxfile.py")


def graph(number: int) -> Any:
    """Return a graph of `number` jobs. Each job needs up to three earlier jobs, and
    every tenth job has a matrix with six entries.
    """
    from lake_ci.model.job import Graph, Job

    def session(run: Any) -> None:
        """Do nothing."""

    made = Graph()
    for index in range(number):
        needs = tuple(
            f"job{before}"
            for before in (index // 2, index - 1, index - 7)
            if 0 <= before < index
        )
        pythons, javas = (
            (("3.9", "3.10", "3.11"), ("11", "17")) if index % 10 == 0 else ((), ())
        )
        made.add(
            Job(
                f"job{index}",
                session,
                tuple(dict.fromkeys(needs)),
                pythons=pythons,
                javas=javas,
            )
        )
    return made


@EXERCISES
def test_plan_text(measure: Measure) -> None:
    from lake_ci.model.events import Event, select
    from lake_ci.pipeline import plan
    from lake_ci.pipeline.durations import Durations

    jobs = graph(JOBS)

    def text() -> str:
        chosen = select(jobs, Event("push", "main"))
        times = Durations(dict.fromkeys(chosen.sessions, 1.0), frozenset())
        return (
            plan.as_text(chosen, times)
            + str(plan.as_json(chosen, times))
            + plan.as_mermaid(chosen, jobs)
        )

    assert f"job{JOBS - 1}" in measure(text)


@EXERCISES
def test_workflow_text(measure: Measure) -> None:
    from lake_ci.workflow import workflow

    jobs = graph(JOBS // 3)
    assert "nox -s" in measure(lambda: workflow.render(jobs))


def write_results(root: Path, variants: Iterable[Any]) -> None:
    """Write a result with findings, and a JUnit file, for each session."""
    from lake_ci.model import results
    from lake_ci.model.results import CheckResult, Finding, Result, Status

    cases = "".join(
        f'<testcase classname="tests" name="test_{case}" time="0.1"/>'
        for case in range(TESTS)
    )
    found = tuple(
        Finding("mypy", "rule", f"message {number}", "noxfile.py", number)
        for number in range(20)
    )
    checks = (
        CheckResult("mypy", Status.FAILURE, 1.0, "20 findings", found),
        CheckResult("black", Status.SUCCESS),
    )
    for variant in variants:
        folder = root / "reports" / variant.id
        folder.mkdir(parents=True)
        result = Result(
            run="1",
            attempt=1,
            event="push",
            commit=COMMIT,
            dirty=False,
            job=variant.id,
            session=variant.session,
            started="2024-01-01T00:00:00Z",
            seconds=1.0,
            reproduce=variant.reproduce,
            checks=checks,
        )
        results.write(folder, result)
        (folder / "junit.xml").write_text(
            f"<testsuites><testsuite>{cases}</testsuite></testsuites>"
        )


@EXERCISES
def test_summary(measure: Measure, tmp_path: Path) -> None:
    """Measure a summary that reads results with findings and JUnit files, and writes
    both reports.
    """
    from lake_ci.model.events import Event, select
    from lake_ci.pipeline import summary

    jobs = graph(RESULTS)
    chosen = select(jobs, Event("push", "main"))
    write_results(tmp_path, (each for job in chosen.starts for each in job.variants))

    def fresh() -> None:
        shutil.rmtree(tmp_path / "reports" / ".history", ignore_errors=True)

    def gather() -> int:
        overview = summary.collect(
            tmp_path, jobs, chosen, run="1", attempt=1, commit=COMMIT
        )
        return summary.write(overview, tmp_path, {})

    assert measure(gather, setup=fresh) == 1
    assert (tmp_path / "reports" / "index.html").stat().st_size > 0
