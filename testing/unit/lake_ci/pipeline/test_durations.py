"""Tests from which source the expected duration of a session is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lake_ci.errors import UsageError
from lake_ci.model.job import Variant
from lake_ci.model.results import CheckResult, Status
from lake_ci.pipeline.durations import DEFAULT_SECONDS, Durations, durations
from lake_ci.report import history
from lake_ci.report.overview import Past, PastSession, State
from lake_ci.system.atomic_write import write_whole
from testing.unit.lake_ci.report import samples

GRAPH = samples.design()
[LINT] = GRAPH.jobs["lint"].variants
SOURCES = ("result", "history", "cache", "table")


def known(
    root: Path,
    *variants: Variant,
    cached: Callable[[Variant], float | None] | None = None,
) -> Durations:
    return durations(root, GRAPH, variants, cached)


def write_history(root: Path, *seconds: tuple[State, float]) -> None:
    runs = [
        Past(
            "r",
            "push",
            None,
            None,
            "",
            state,
            each,
            {"lint": PastSession(state, each, {})},
        )
        for state, each in seconds
    ]
    write_whole(root / "reports" / history.FILE, history.to_text(runs))


def write_table(root: Path, text: str) -> None:
    (root / "pyproject.toml").write_text(f"[tool.lake_ci.seconds]\n{text}")


@pytest.mark.parametrize(
    ("sources", "seconds"),
    [
        (SOURCES, 1.0),
        (SOURCES[1:], 2.0),
        (SOURCES[2:], 3.0),
        (SOURCES[3:], 4.0),
        ((), DEFAULT_SECONDS),
    ],
)
def test_the_first_source_that_knows_the_session_counts(
    tmp_path: Path, sources: tuple[str, ...], seconds: float
) -> None:
    if "result" in sources:
        samples.leave(tmp_path, samples.result_of(LINT, seconds=1.0))
    if "history" in sources:
        write_history(
            tmp_path, (State.SUCCESS, 9.0), (State.WARNING, 2.0), (State.FAILURE, 8.0)
        )
    if "table" in sources:
        write_table(tmp_path, "lint = 4")
    cached = (lambda variant: 3.0) if "cache" in sources else (lambda variant: None)
    found = known(tmp_path, LINT, cached=cached)
    assert found.seconds == {"lint": seconds}
    assert found.estimated == (frozenset({"lint"}) if seconds >= 4 else frozenset())


@pytest.mark.parametrize(
    "fields",
    [
        {"partial": True},
        {"cause": "timeout"},
        {"checks": (CheckResult("one", Status.FAILURE),)},
        {"seconds": float("nan")},
        {"seconds": "10"},
    ],
)
def test_a_result_that_is_no_whole_run_is_not_used(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    samples.leave(tmp_path, replace(samples.result_of(LINT), **fields))
    assert known(tmp_path, LINT).estimated == {"lint"}


def test_sessions_of_a_matrix_have_seconds_of_their_own(tmp_path: Path) -> None:
    first, *others = GRAPH.jobs["tests"].variants
    samples.leave(tmp_path, samples.result_of(first, seconds=80))
    write_table(tmp_path, "tests = 300.5")
    found = known(tmp_path, first, *others)
    assert found.seconds[first.session] == 80
    assert {found.seconds[each.session] for each in others} == {300.5}
    assert found.estimated == {each.session for each in others}


def test_a_session_may_have_an_estimate_of_its_own(tmp_path: Path) -> None:
    first, *others = GRAPH.jobs["tests"].variants
    write_table(tmp_path, f'tests = 300\n"{first.id}" = 900')
    found = known(tmp_path, first, *others)
    assert found.seconds[first.session] == 900
    assert {found.seconds[each.session] for each in others} == {300}
    assert found.estimated == {each.session for each in (first, *others)}


def test_a_history_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    write_whole(tmp_path / "reports" / history.FILE, "{")
    assert known(tmp_path, LINT).estimated == {"lint"}


def test_nothing_is_read_for_no_session(tmp_path: Path) -> None:
    write_table(tmp_path, "broken")
    assert known(tmp_path) == Durations({}, frozenset())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tets = 1", "tool.lake_ci.seconds: no job 'tets'"),
        ("lint = '5'", "tool.lake_ci.seconds] lint is '5'"),
        ("lint", "pyproject.toml: "),
    ],
)
def test_a_malformed_table_is_wrong_usage(
    tmp_path: Path, text: str, words: str
) -> None:
    write_table(tmp_path, text)
    with pytest.raises(UsageError) as raised:
        known(tmp_path, LINT)
    assert words in str(raised.value)


def test_a_table_of_another_kind_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.lake_ci]\nseconds = 5\n")
    with pytest.raises(UsageError, match=r"tool\.lake_ci\] seconds is 5"):
        known(tmp_path, LINT)
