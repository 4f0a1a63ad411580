"""Sends a request again that may go through the next time, and waits for what a
workspace does in its own time.
"""

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
    """The time, and a way to let it pass; tests bring their own."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Limits:
    """How long things may take, in seconds but for `attempts`;
    `[tool.lake_ci.deploy.limits]` sets them.

    Attributes:
        request: one request, or one command of the CLI.
        attempts: how often a request is sent whose failure may pass.
        pause: before the second attempt; twice as long before each further one.
        poll: between two looks at what the workspace does.
        start: until a cluster runs.
        install: until a wheel is installed.
        run: until a one-time run has ended.
        busy: how long a restart waits for the runs of others on the cluster; 0 refuses
            at once.
        whole: the whole deploy. The lock stands for as long, and a little more.
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


def again(ask: Callable[[], Answer], limits: Limits, clock: Clock) -> Answer:
    """Ask until there is an answer, as often as the limits allow. Raises the last
    WorkspaceError.
    """
    may_pass = retry_if_exception(
        lambda error: isinstance(error, WorkspaceError) and error.again
    )
    return _retrying(may_pass, limits, clock)(ask)


def stubbornly(ask: Callable[[], Answer], limits: Limits, clock: Clock) -> Answer:
    """Ask again whatever the error is about: for the last thing that is left to do.
    Raises the last WorkspaceError.
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


def until(
    look: Callable[[], Answer | None],
    seconds: float,
    late: str,
    limits: Limits,
    clock: Clock,
) -> Answer:
    """Look until there is something to see. Raises StepError, with the words of `late`,
    after so many seconds.
    """
    deadline = clock.now() + seconds
    # Small things are done at once; what takes minutes need not be asked about five
    # times a second.
    pause = min(0.2, limits.poll)
    while True:
        seen = look()
        if seen is not None:
            return seen
        if clock.now() >= deadline:
            raise StepError(f"{late} within {seconds:g} s")
        clock.sleep(pause)
        pause = min(limits.poll, pause * 1.5)
