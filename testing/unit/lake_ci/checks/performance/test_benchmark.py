"""Tests that a benchmark runs processes, compares their times, and prints the result.
The processes are fakes.
"""

from __future__ import annotations

import pytest

from lake_ci.checks.performance.benchmark import BenchmarkSpec
from lake_ci.checks.performance.options import PerformanceOptions
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext
from testing.unit.lake_ci.checks.performance.measured import (
    EVEN,
    MERGE,
    WILD,
    Runs,
    benchmark,
    judged,
)

# Comparison


def test_same_rounds_pass_and_say_what_would_have_been_detected(
    ctx: CheckContext,
) -> None:
    runs = Runs(EVEN, EVEN)
    outcome = judged(ctx, runs)
    assert outcome.status is Status.SUCCESS
    assert (
        outcome.detail
        == "0.101 s, 1.00 times the baseline (1.00 to 1.00); detects 1.15"
    )
    assert sorted(runs.started) == ["new"] * 4 + ["old"] * 4
    assert outcome.data["intervals"][""]["verdict"] == "fine"
    assert len(outcome.data["rounds"]["old"]) == 4


def test_a_slower_whole_fails_with_its_place(ctx: CheckContext) -> None:
    outcome = judged(ctx, Runs(EVEN, [1.3 * each for each in EVEN]))
    assert outcome.status is Status.FAILURE
    [found] = outcome.findings
    assert (found.rule, found.file, found.line) == ("slower", MERGE.file, MERGE.line)
    assert (
        found.message
        == "merge takes 1.30 times the baseline (1.30 to 1.30); 1.15 allowed"
    )


def test_a_slower_part_fails_and_is_named_though_the_whole_is_fine(
    ctx: CheckContext,
) -> None:
    outcome = judged(ctx, Runs(EVEN, EVEN, parts=(0.02, 0.026)))
    assert outcome.detail.startswith("slower: silver.orders; ")
    assert [each.message.partition(" takes ")[0] for each in outcome.findings] == [
        "merge, silver.orders,"
    ]


def test_a_part_too_short_for_the_clock_is_shown_and_not_judged(
    ctx: CheckContext,
) -> None:
    outcome = judged(ctx, Runs(EVEN, EVEN, parts=(0.002, 0.004)))
    assert outcome.status is Status.SUCCESS
    assert ["silver.orders", 0.004, None, None, None, None, None] in outcome.data[
        "panel"
    ]["rows"]


def test_a_part_that_became_long_is_judged(ctx: CheckContext) -> None:
    assert judged(ctx, Runs(EVEN, EVEN, parts=(0.002, 0.04))).status is Status.FAILURE


def test_what_the_clock_cannot_tell_is_advice_with_the_command_that_would(
    ctx: CheckContext,
) -> None:
    outcome = judged(ctx, Runs(WILD, WILD[::-1], cpu=(0.0, 0.0)))
    assert outcome.status is Status.WARNING
    assert outcome.not_checked is None
    assert "undecided for the whole" in outcome.detail
    assert "nox -s performance -- -k merge --generations " in outcome.detail


def test_where_the_clock_cannot_tell_the_processor_does(ctx: CheckContext) -> None:
    assert judged(ctx, Runs(WILD, WILD[::-1])).status is Status.SUCCESS
    slower = judged(ctx, Runs(WILD, WILD[::-1], cpu=(0.1, 0.13)))
    assert slower.status is Status.FAILURE
    assert "by processor time 1.30 (1.30 to 1.30)" in slower.findings[0].message


def test_more_processor_time_is_no_failure_where_nobody_waits_longer(
    ctx: CheckContext,
) -> None:
    assert judged(ctx, Runs(EVEN, EVEN, cpu=(0.1, 0.2))).status is Status.SUCCESS


def test_a_higher_peak_of_memory_fails(ctx: CheckContext) -> None:
    outcome = judged(ctx, Runs(EVEN, EVEN, peaks=(100.0, 140.0)))
    assert [each.rule for each in outcome.findings] == ["memory"]
    assert (
        "1.40 to 1.40 times the baseline's peak memory; 1.25 allowed"
        in outcome.findings[0].message
    )


def test_more_rounds_are_run_while_time_is_left_and_nothing_is_told(
    ctx: CheckContext,
) -> None:
    runs = Runs(WILD, WILD[::-1], cpu=(0.0, 0.0))
    # Each pair of processes takes two seconds. The last pair starts before the time
    # limit of 20 s is exceeded, and may end later.
    judged(ctx, runs, given=PerformanceOptions(seconds=20))
    assert len(runs.started) == 22


def test_no_more_rounds_are_run_if_a_part_is_slower_and_the_whole_undecided(
    ctx: CheckContext,
) -> None:
    near = [
        1.13 * each if index % 2 else 1.17 * each for index, each in enumerate(EVEN)
    ]
    runs = Runs(EVEN, near, parts=(0.02, 0.04), cpu=(0.0, 0.0))
    outcome = judged(ctx, runs, given=PerformanceOptions(seconds=20))
    assert outcome.data["intervals"][""]["verdict"] == "undecided"
    assert outcome.detail.startswith("slower: silver.orders; ")
    assert len(runs.started) == 8


def test_generations_can_be_asked_for(ctx: CheckContext) -> None:
    runs = Runs(EVEN, EVEN)
    judged(ctx, runs, given=PerformanceOptions(seconds=0, generations=7))
    assert len(runs.started) == 14


# Processes


def test_unchanged_code_is_skipped_with_the_reason(ctx: CheckContext) -> None:
    outcome = judged(
        ctx, Runs([], []), differs={"README.md", "utils/lake_ci/model/job.py"}
    )
    assert outcome.status is Status.SKIPPED
    assert outcome.detail == "no change in utils/lakekit/*; run it with `-- --all`"


@pytest.mark.parametrize(
    "file",
    [
        "utils/lakekit/nyc_flights/sql/gold/x.sql",
        "requirements/performance.txt",
        "pyproject.toml",
        "testing/performance/conftest.py",
    ],
)
def test_whatever_its_figures_may_depend_on_makes_it_run(
    ctx: CheckContext, file: str
) -> None:
    assert not benchmark(ctx, differs={file}).unchanged()


def test_when_in_doubt_it_runs(ctx: CheckContext) -> None:
    assert not benchmark(ctx, differs=None).unchanged()
    assert not benchmark(
        ctx, differs=set(), spec=BenchmarkSpec("a", "a", "a", 1, ())
    ).unchanged()
    assert (
        judged(
            ctx,
            Runs(EVEN, EVEN),
            differs=set(),
            given=PerformanceOptions(seconds=0, every=True),
        ).status
        is Status.SUCCESS
    )


def test_without_a_baseline_it_is_measured_alone(ctx: CheckContext) -> None:
    runs = Runs([], EVEN)
    outcome = judged(ctx, runs, old=False)
    assert (outcome.status, outcome.detail) == (
        Status.SUCCESS,
        "0.101 s; no baseline",
    )
    assert runs.started == ["new"]


def test_what_the_baseline_lacks_is_new(ctx: CheckContext) -> None:
    says = "E   AttributeError: module 'lakekit' has no attribute 'run'\n"
    outcome = judged(ctx, Runs(EVEN, EVEN, fails="old", says=says))
    assert outcome.status is Status.SUCCESS
    assert outcome.detail.startswith(
        "0.101 s; not in the baseline (AttributeError: module 'lakekit'"
    )


def test_a_baseline_that_fails_otherwise_is_advice(ctx: CheckContext) -> None:
    outcome = judged(
        ctx, Runs(EVEN, EVEN, fails="old", says="E   OSError: No space left\n")
    )
    assert outcome.status is Status.WARNING
    assert "failed on the baseline: OSError: No space left" in outcome.detail


def test_a_benchmark_that_fails_is_a_failure_at_its_place(ctx: CheckContext) -> None:
    outcome = judged(
        ctx, Runs(EVEN, EVEN, fails="new", says="E   AssertionError: no rows\n")
    )
    assert outcome.status is Status.FAILURE
    assert (outcome.findings[0].file, outcome.findings[0].line) == (
        MERGE.file,
        MERGE.line,
    )
    assert "no rows" in outcome.detail


def test_after_a_baseline_that_could_not_be_built_nothing_is_measured(
    ctx: CheckContext,
) -> None:
    made = benchmark(ctx)
    made.old.side = None
    assert made.run(ctx).detail == "the baseline could not be built"
