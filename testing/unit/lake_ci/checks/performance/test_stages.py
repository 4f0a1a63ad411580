"""Tests how the benchmarks are collected, and how their measurements are stored in the
history.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lake_ci.checks.performance import history
from lake_ci.checks.performance.options import PerformanceOptions
from lake_ci.checks.performance.stages import HISTORY, Collect, History
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed
from testing.unit.lake_ci.checks.performance.measured import EVEN, ONCE, Runs, benchmark

ANY = PerformanceOptions()

# Collection


def listing(*names: str) -> Any:
    def execute(argv: list[str], **given: Any) -> Completed:
        tree = given["cwd"].name
        rows = [
            {
                "id": name,
                "name": name,
                "file": "f",
                "line": 1,
                "exercises": [],
                "gate": {"rounds": 3},
            }
            for name in names
            if not (tree == "repository" and name.startswith("only-old"))
        ]
        Path(given["env"]["LAKE_CI_LIST"]).write_text(
            json.dumps(rows), encoding="utf-8"
        )
        return Completed(tuple(argv), 0, "", "", 0.1)

    return execute


def collected(
    ctx: CheckContext, execute: Any, given: PerformanceOptions = ANY
) -> tuple[Collect, Outcome]:
    made = benchmark(ctx, given=given)
    collect = Collect(given, made.baseline, made.old, made.new)
    collect.baseline.commit = None
    tree = ctx.root / "tree"
    (tree / "testing" / "performance").mkdir(parents=True)
    assert collect.old.side is not None
    collect.old.side.tree = tree
    ctx.execute = execute
    return collect, collect.run(ctx)


def test_names_the_benchmarks_that_were_removed(ctx: CheckContext) -> None:
    collect, outcome = collected(ctx, listing("merge", "api", "only-old"))
    assert outcome.detail == "2 benchmarks; removed since the baseline: only-old"
    assert [each.name for each in collect.benchmarks] == ["merge", "api"]
    assert collect.benchmarks[0].spec.rounds == 3


def test_a_selection_of_nothing_fails(ctx: CheckContext) -> None:
    _, outcome = collected(ctx, listing(), PerformanceOptions(select="nosuch"))
    assert outcome.status is Status.FAILURE
    assert "no benchmark matches -k 'nosuch'" in outcome.detail


def test_benchmarks_that_cannot_be_collected_are_a_crash(ctx: CheckContext) -> None:
    _, outcome = collected(
        ctx,
        lambda argv, **given: Completed(tuple(argv), 2, "E   SyntaxError", "", 0.1),
    )
    assert outcome.findings[0].rule == "crash"


# History


def measured(ctx: CheckContext, given: PerformanceOptions) -> Collect:
    """Return a `Collect` with one benchmark that has been measured."""
    made = benchmark(ctx, given=given)
    made.run(ctx)
    collect = Collect(given, made.baseline, made.old, made.new)
    collect.benchmarks = [made]
    return collect


def test_measured_figures_enter_the_history_and_a_selection_does_not(
    ctx: CheckContext,
) -> None:
    ctx.execute = Runs(EVEN, EVEN)
    for select, count in (("merge", 0), (None, 1), (None, 2)):
        collect = measured(ctx, PerformanceOptions(seconds=0, select=select))
        assert History(collect).run(ctx).status is Status.SUCCESS
        records, _ = history.read_history(ctx.root / HISTORY)
        assert len(records) == count
        assert (
            (ctx.reports / "history.svg").read_text(encoding="utf-8").startswith("<svg")
        )
        line = (ctx.reports / "benchmarks.json").read_text(encoding="utf-8")
        assert history.from_line(line).benchmarks["merge"].series[""].pairs == 24
    [record, _] = history.read_history(ctx.root / HISTORY)[0]
    assert record.baseline == "b" * 40


def test_nothing_measured_is_nothing_kept(ctx: CheckContext) -> None:
    made = benchmark(ctx)
    collect = Collect(ANY, made.baseline, made.old, made.new)
    assert History(collect).run(ctx).status is Status.SKIPPED


def test_lines_of_the_history_that_cannot_be_read_are_said(ctx: CheckContext) -> None:
    (ctx.root / HISTORY).parent.mkdir(parents=True)
    (ctx.root / HISTORY).write_text("half a li\n", encoding="utf-8")
    ctx.execute = Runs(EVEN, EVEN)
    outcome = History(measured(ctx, ONCE)).run(ctx)
    assert (outcome.status, outcome.detail) == (
        Status.WARNING,
        f"1 run in {HISTORY}; 1 line of this file cannot be read",
    )
