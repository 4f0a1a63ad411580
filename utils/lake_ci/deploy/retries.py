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

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Clock:
    """The time and the sleep function; tests replace both."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Limits:
    """The time limits of a deploy, in seconds except for `attempts`.

    `[tool.lake_ci.deploy.limits]` sets them.

    Attributes:
        request: one request, or one command of the CLI.
        attempts: how often a request with a retryable error is sent.
        pause: before the second attempt; doubled before each further attempt.
        poll: between two requests of a poll.
        start: until a cluster runs.
        install: until a wheel is installed.
        run: until a one-time run has ended.
        busy: how long a restart waits for other runs on the cluster; 0 refuses at once.
        whole: the whole deploy. The lock expires a little later.
    """

    request: float = 60.0
    attempts: int = 5
    pause: float = 1.0
    poll: float = 2.0
    start: float = 20 * 60.0
    install: float = 15 * 60.0
    run: float = 60 * 60.0
    busy: float = 10 * 60.0
    whole: float = 120 * 60.0


def retry(ask: Callable[[], Answer], limits: Limits, clock: Clock) -> Answer:
    """Send a request, and retry it while its error is retryable.

    The limits restrict the attempts. Raises the last WorkspaceError.
    """
    may_pass = retry_if_exception(
        lambda error: isinstance(error, WorkspaceError) and error.retryable
    )
    return _retrying(may_pass, limits, clock)(ask)


def retry_always(ask: Callable[[], Answer], limits: Limits, clock: Clock) -> Answer:
    """Send a request, and retry it after any WorkspaceError, within the limits.

    Raises the last error. For cleanup that must not be left out, such as releasing the
    lock.
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
        late: the message of the StepError that is raised at the time limit.
    """
    deadline = clock.now() + seconds
    # Short actions end at once; for an action of minutes, five requests per second are
    # not necessary.
    pause = min(0.2, limits.poll)
    while True:
        seen = look()
        if seen is not None:
            return seen
        if clock.now() >= deadline:
            raise StepError(f"{late} within {seconds:g} s")
        clock.sleep(pause)
        pause = min(limits.poll, pause * 1.5)
