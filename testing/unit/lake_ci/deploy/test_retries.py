"""Temporary errors are retried a limited number of times; polling has a time limit."""

from __future__ import annotations

import pytest

from lake_ci.deploy.errors import StepError, WorkspaceError
from lake_ci.deploy.retries import Clock, poll_until, retry
from lake_ci.model.settings import Limits

LIMITS = Limits(attempts=3, pause=1, poll=2)


def test_retryable_error_is_retried_with_longer_pauses(clock: Clock) -> None:
    answers: list[WorkspaceError | int] = [
        WorkspaceError("a", retryable=True),
        WorkspaceError("b", retryable=True),
        7,
    ]

    def ask() -> int:
        answer = answers.pop(0)
        if isinstance(answer, WorkspaceError):
            raise answer
        return answer

    start = clock.now()
    assert retry(ask, LIMITS, clock) == 7
    assert clock.now() - start == 3


def test_last_failure_is_raised(clock: Clock) -> None:
    calls: list[int] = []

    def ask() -> None:
        calls.append(1)
        raise WorkspaceError("no", retryable=True)

    with pytest.raises(WorkspaceError, match="no"):
        retry(ask, LIMITS, clock)
    assert len(calls) == 3


def test_error_that_is_not_retryable_is_raised_at_once(clock: Clock) -> None:
    calls: list[int] = []

    def ask() -> None:
        calls.append(1)
        raise WorkspaceError("no")

    with pytest.raises(WorkspaceError):
        retry(ask, LIMITS, clock)
    assert len(calls) == 1


def test_wait_ends_with_its_reason(clock: Clock) -> None:
    start = clock.now()
    with pytest.raises(StepError, match="it did not come within 10 s"):
        poll_until(lambda: None, 10, "it did not come", LIMITS, clock)
    assert 10 <= clock.now() - start <= 12
