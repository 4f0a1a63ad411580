"""What may pass is asked again, so often and no more; what never comes is not waited
for without end.
"""

from __future__ import annotations

import pytest

from lake_ci.deploy.errors import StepError, WorkspaceError
from lake_ci.deploy.retries import Clock, Limits, again, until

LIMITS = Limits(attempts=3, pause=1, poll=2)


def test_passing_failure_is_asked_again_with_longer_pauses(clock: Clock) -> None:
    answers: list[WorkspaceError | int] = [
        WorkspaceError("a", again=True),
        WorkspaceError("b", again=True),
        7,
    ]

    def ask() -> int:
        answer = answers.pop(0)
        if isinstance(answer, WorkspaceError):
            raise answer
        return answer

    start = clock.now()
    assert again(ask, LIMITS, clock) == 7
    assert clock.now() - start == 3


def test_last_failure_is_raised(clock: Clock) -> None:
    asked: list[int] = []

    def ask() -> None:
        asked.append(1)
        raise WorkspaceError("no", again=True)

    with pytest.raises(WorkspaceError, match="no"):
        again(ask, LIMITS, clock)
    assert len(asked) == 3


def test_refusal_is_not_asked_again(clock: Clock) -> None:
    asked: list[int] = []

    def ask() -> None:
        asked.append(1)
        raise WorkspaceError("no")

    with pytest.raises(WorkspaceError):
        again(ask, LIMITS, clock)
    assert len(asked) == 1


def test_wait_ends_with_its_reason(clock: Clock) -> None:
    start = clock.now()
    with pytest.raises(StepError, match="it did not come within 10 s"):
        until(lambda: None, 10, "it did not come", LIMITS, clock)
    assert 10 <= clock.now() - start <= 12
