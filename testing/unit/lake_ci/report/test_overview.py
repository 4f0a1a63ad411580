"""Tests the overview of a run: its state, duration and critical path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lake_ci.model.results import CheckResult, Status
from lake_ci.report.overview import Node, Overview, Session, State, critical_path
from testing.unit.lake_ci.report import samples

EMPTY = Overview("run", 1, "push", "main", None, False, "2026-01-31T02:10:00Z")


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        ([State.SUCCESS, State.SKIPPED], State.SUCCESS),
        ([State.SUCCESS, State.WARNING], State.WARNING),
        ([State.WARNING, State.RUNNING], State.RUNNING),
        ([State.RUNNING, State.FAILURE], State.FAILURE),
        ([State.SKIPPED], State.SKIPPED),
        ([], State.SKIPPED),
    ],
)
def test_the_worst_state_counts(states: list[State], worst: State) -> None:
    assert State.worst(states) is worst


def test_every_state_has_a_symbol_and_a_word() -> None:
    assert [(state.symbol, state.word) for state in State] == [
        ("❌", "failed"),
        ("⏳", "running"),
        ("⚠️", "warning"),
        ("✅", "passed"),
        ("⏸️", "skipped"),
    ]


def test_a_run_of_nothing_is_skipped_and_fails_nothing() -> None:
    assert (EMPTY.state, EMPTY.exit_code, EMPTY.seconds, EMPTY.tally) == (
        State.SKIPPED,
        0,
        0.0,
        "nothing to run",
    )
    assert EMPTY.previous is None
    assert critical_path(EMPTY) == ()


def test_a_run_is_as_long_as_from_the_first_start_to_the_last_end(
    tmp_path: Path,
) -> None:
    plan = samples.leave_realistic(tmp_path)
    assert samples.collect(tmp_path, plan).seconds == pytest.approx(180 + 96)


def test_the_critical_path_goes_back_through_the_need_that_ended_last(
    tmp_path: Path,
) -> None:
    plan = samples.leave_realistic(tmp_path)
    assert critical_path(samples.collect(tmp_path, plan)) == (
        "lint",
        "tests-3.11-java17",
    )


def test_the_tally_counts_jobs_that_were_not_planned_too(tmp_path: Path) -> None:
    plan = samples.leave_realistic(tmp_path)
    assert (
        samples.collect(tmp_path, plan).tally
        == "1 failed, 3 with warnings, 5 passed, 6 skipped"
    )


@pytest.mark.parametrize(
    ("checks", "cause", "headline"),
    [
        ((samples.passed("a"), samples.passed("b")), None, "2 checks passed"),
        ((samples.passed("a", "12 passed"),), None, "a: 12 passed"),
        (
            (
                samples.passed("a"),
                CheckResult("b", Status.FAILURE),
                samples.failed("c"),
            ),
            None,
            "b; c: 0 findings",
        ),
        (
            (CheckResult("b", Status.FAILURE, detail="cut"),),
            "timeout",
            "timeout; b: cut",
        ),
        (
            (CheckResult("session", Status.SKIPPED, detail="needs x"),),
            "need-failed",
            "needs x",
        ),
    ],
)
def test_the_headline_says_what_matters(
    checks: tuple[CheckResult, ...], cause: str | None, headline: str
) -> None:
    variant = samples.design().jobs["lint"].variants[0]
    result = replace(samples.result_of(variant, *checks), cause=cause)
    session = Session(
        "lint", "lint", "lint", "nox -s lint", State(result.status.value), result=result
    )
    assert session.headline == headline


def test_a_session_without_a_result_has_no_span() -> None:
    session = Session(
        "lint", "lint", "lint", "nox -s lint", State.FAILURE, "no result was written"
    )
    assert (session.span, session.seconds, session.checks, session.headline) == (
        None,
        0.0,
        (),
        "no result was written",
    )
    node = Node("lint", "Lint.", (), (session,))
    assert (node.state, node.seconds) == (State.FAILURE, 0.0)
    assert replace(EMPTY, nodes=(node,)).exit_code == 1


def test_a_reused_session_says_since_when_and_takes_no_time_of_this_run(
    tmp_path: Path,
) -> None:
    plan = samples.leave_realistic(tmp_path)
    overview = samples.collect(tmp_path, plan)
    [session] = [each for each in overview.sessions if each.id == "lint"]
    assert session.result is not None and session.span is not None
    result = replace(
        session.result, reused={"run": "before", "since": "2026-01-30T23:59:59Z"}
    )
    reused = replace(session, result=result)
    assert reused.headline.startswith("as of 2026-01-30 23:59 UTC, run before; ")
    assert reused.span is None
    assert reused.seconds == session.seconds
