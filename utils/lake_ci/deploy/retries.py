"""Retries failed requests, and polls a workspace until an action is complete."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import (
    Retrying,
    retry_base,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from lake_ci.deploy.errors import StepError, WorkspaceError
from lake_ci.model.settings import Limits

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Clock:
    """Functions that return the time and sleep; the tests replace both functions."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


def retry(ask: Callable[[], Answer], limits: Limits, clock: Clock) -> Answer:
    """Send a request, and retry it while its error is retryable.

    `limits` sets the number of attempts and the pauses. Raises the last WorkspaceError.
    """
    may_pass = retry_if_exception(
        lambda error: isinstance(error, WorkspaceError) and error.retryable
    )
    return _retrying(may_pass, limits, clock)(ask)


def retry_always(ask: Callable[[], Answer], limits: Limits, clock: Clock) -> Answer:
    """Send a request, and retry it after any WorkspaceError, within the limits.

    Use this for cleanup that must happen, such as releasing the lock. Raises the last
    error.
    """
    return _retrying(retry_if_exception_type(WorkspaceError), limits, clock)(ask)


def _retrying(which: retry_base, limits: Limits, clock: Clock) -> Retrying:
    return Retrying(
        retry=which,
        stop=stop_after_attempt(limits.attempts),
        wait=wait_exponential(multiplier=limits.pause),
        sleep=clock.sleep,
        reraise=True,
    )


def poll_until(
    look: Callable[[], Answer | None],
    seconds: float,
    late: str,
    limits: Limits,
    clock: Clock,
) -> Answer:
    """Call `look` until it returns a value other than None, or the time is up.

    Args:
        seconds: the time limit.
        late: the start of the message of the StepError at the time limit.
    """
    deadline = clock.now() + seconds
    # The pause grows: five requests per second are too many for an action that takes
    # minutes.
    pause = min(0.2, limits.poll)
    while True:
        seen = look()
        if seen is not None:
            return seen
        if clock.now() >= deadline:
            raise StepError(f"{late} within {seconds:g} s")
        clock.sleep(pause)
        pause = min(limits.poll, pause * 1.5)
