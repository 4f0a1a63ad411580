"""A run rejects results that do not belong to it, and states the reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lake_ci.model.results import Finding, Result
from lake_ci.report.result_validation import rejection_reason
from testing.unit.lake_ci.report import samples

GOOD = samples.result_of(
    samples.design().jobs["lint"].variants[0],
    samples.failed("mypy", Finding("mypy", "r", "m", "a.py", 1)),
)
CHECK = GOOD.checks[0]


def rejection(result: Result, commit: str | None = samples.COMMIT) -> str | None:
    return rejection_reason(result, {"lint"}, run=samples.RUN, attempt=2, commit=commit)


@pytest.mark.parametrize(
    "result",
    [
        GOOD,
        replace(GOOD, attempt=2),
        replace(GOOD, python=None, checks=()),
        replace(GOOD, cause="timeout"),
    ],
)
def test_a_result_of_this_run_counts(result: Result) -> None:
    assert rejection(result) is None


def test_a_result_without_a_commit_counts_where_the_run_has_none() -> None:
    assert rejection(replace(GOOD, commit=None), commit=None) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"run": "another"}, "belongs to run another, but this is run 7f3a91c2d4e8"),
        (
            {"commit": "0" * 40},
            "belongs to commit 000000000000, but this run is for commit 781e32854715",
        ),
        (
            {"commit": None},
            "belongs to commit None, but this run is for commit 781e32854715",
        ),
        ({"attempt": 3}, "belongs to attempt 3, but this is attempt 2"),
        ({"partial": True}, "is partial: arguments selected a part of lint"),
        ({"job": "format", "session": "format"}, "format was not planned in this run"),
    ],
)
def test_any_other_is_refused_with_the_reason(
    change: dict[str, Any], reason: str
) -> None:
    assert rejection(replace(GOOD, **change)) == reason
