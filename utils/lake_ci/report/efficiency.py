"""Compares a run's duration with its lower bound, and reports why sessions waited.

A run cannot be shorter than its critical path. In a chain of sessions, each session
needs the previous session; the critical path is the chain with the longest wall time.
If all sessions share one machine, a run also cannot be shorter than the sessions'
processor time (user and system) divided by the machine's cores. The larger of the two
values is the lower bound, and the ratio of a run is

    wall time / max(critical path, processor time / cores)

Only the sessions that ran count, including failed sessions. Reused and skipped sessions
do not count. Starts are recorded in whole seconds, so waits are accurate to about a
second.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lake_ci.model.results import count
from lake_ci.report.overview import Overview, critical_path
from lake_ci.report.terminal import seconds

# How many sessions are listed; the listed sessions have the longest waits.
SHOWN = 3
# Shorter waits are not reported, because start times are recorded in whole seconds.
NOTABLE_SECONDS = 1.0


@dataclass(frozen=True)
class Wait:
    """How long a session waited, in seconds, after all needed sessions had ended.

    Attributes:
        session: the name of the session.
        ready: the time when all needed sessions had ended, or, if no session is needed,
            when the run began; in seconds since 1970 UTC.
        worker: the wait for a free worker; 0 if each session has its own machine.
        prepared: the wait for a lock, or for the preparation of the machine
            (`Result.waited_seconds`).
        started: the rest of the wait: the time in which nox started and created the
            environment, and on GitHub also the time until a machine was available.
    """

    session: str
    ready: float
    worker: float
    prepared: float
    started: float

    @property
    def seconds(self) -> float:
        return self.worker + self.prepared + self.started


@dataclass(frozen=True)
class Efficiency:
    """A run compared with its lower bound; all times are in seconds.

    Attributes:
        wall: the time from the beginning of the run to the end of its last session.
        path: the names of the sessions of the critical path, first to last.
        path_seconds: the length of the critical path.
        processor_seconds: the sum of the measured processor times of the sessions.
        unmeasured: the number of sessions that ran, but whose processor time was not
            measured.
        cores: the cores that the sessions shared; None if each session had its own
            machine.
        waits: the wait of each session that ran, by the session's id.
    """

    wall: float
    path: tuple[str, ...]
    path_seconds: float
    processor_seconds: float
    unmeasured: int
    cores: int | None
    waits: Mapping[str, Wait]

    @property
    def bound(self) -> float:
        """Return the lower bound of the run's duration."""
        work = self.processor_seconds / self.cores if self.cores else 0.0
        return max(self.path_seconds, work)

    @property
    def ratio(self) -> float:
        """Return wall time / lower bound. If nothing delays a run, the ratio is 1."""
        return self.wall / self.bound


def of(overview: Overview) -> Efficiency | None:
    """Return the efficiency of a run; None if no session ran."""
    spans = overview.spans
    if not spans:
        return None
    path = critical_path(overview)
    names = {session.id: session.name for session in overview.sessions}
    measured = [
        session.result.processor_seconds
        for session in overview.sessions
        if session.result is not None
        and session.span is not None
        and session.result.processor_seconds is not None
    ]
    path_seconds = sum(spans[name][1] - spans[name][0] for name in path)
    return Efficiency(
        # The starts are rounded, so short sessions may seem to overlap.
        wall=max(overview.seconds, path_seconds),
        path=tuple(names[name] for name in path),
        path_seconds=path_seconds,
        processor_seconds=sum(measured),
        unmeasured=len(spans) - len(measured),
        cores=overview.workers.cores if overview.workers else None,
        waits=_waits(overview),
    )


def text(efficiency: Efficiency | None) -> list[str]:
    """Return the efficiency as lines of text; an empty list if no session ran."""
    if efficiency is None:
        return []
    wall, bound = seconds(efficiency.wall), seconds(efficiency.bound)
    return [
        f"took {wall}, {efficiency.ratio:.2f} times the lower bound of {bound}",
        "; ".join(_bounds(efficiency)),
        *_waited(efficiency),
    ]


def _bounds(efficiency: Efficiency) -> Iterator[str]:
    path = " → ".join(efficiency.path)
    yield f"critical path: {path}, {seconds(efficiency.path_seconds)}"
    if efficiency.unmeasured == len(efficiency.waits):
        yield "processor time: not measured"
        return
    work = f"processor time: {seconds(efficiency.processor_seconds)}"
    if efficiency.cores:
        share = seconds(efficiency.processor_seconds / efficiency.cores)
        work += f" / {count(efficiency.cores, 'core')} = {share}"
    if efficiency.unmeasured:
        work += f", not measured in {count(efficiency.unmeasured, 'session')}"
    yield work


def reasons(waits: Iterable[Wait]) -> str:
    """Return lines that state why and how long sessions waited.

    The returned list is empty if all waits are short.
    """
    every = list(waits)
    sums = {
        "for a free worker": sum(wait.worker for wait in every),
        "for locks and preparation": sum(wait.prepared for wait in every),
        "to start": sum(wait.started for wait in every),
    }
    notable = {what: total for what, total in sums.items() if total >= NOTABLE_SECONDS}
    return ", ".join(f"{seconds(total)} {what}" for what, total in notable.items())


def _waited(efficiency: Efficiency) -> Iterator[str]:
    words = reasons(efficiency.waits.values())
    if not words:
        return
    by_length = sorted(efficiency.waits.values(), key=lambda wait: -wait.seconds)
    named = [
        f"{wait.session} {seconds(wait.seconds)}"
        for wait in by_length[:SHOWN]
        if wait.seconds >= NOTABLE_SECONDS
    ]
    longest = f"; longest: {', '.join(named)}" if named else ""
    yield f"sessions waited {words}{longest}"


def _waits(overview: Overview) -> dict[str, Wait]:
    """Return the wait of each session that ran, by session id, in order of start."""
    spans, ready = overview.spans, _ready(overview)
    sessions = [
        (each.span, each) for each in overview.sessions if each.span is not None
    ]
    # For each worker, the time when the worker is free again. Workers are assigned to
    # sessions in the order in which the sessions start.
    number = overview.workers.number if overview.workers else len(spans)
    free = [overview.began] * number
    waits = {}
    for (start, end), session in sorted(sessions, key=lambda entry: entry[0]):
        since = ready[session.id]
        total = max(0.0, start - since)
        worker = min(total, max(0.0, free[0] - since))
        heapq.heapreplace(free, end)
        recorded = session.result.waited_seconds if session.result else None
        prepared = min(total - worker, recorded or 0.0)
        started = total - worker - prepared
        waits[session.id] = Wait(session.name, since, worker, prepared, started)
    return waits


def _ready(overview: Overview) -> dict[str, float]:
    """For each session, return the time when all sessions that it needs had ended.

    The keys are session ids.

    A session that did not run counts as ended as soon as all sessions that it needs
    have ended.
    """
    spans = overview.spans
    ready: dict[str, float] = {}
    ends: dict[str, float] = {}
    for name, needs in overview.needs.items():
        before = [ends[need] for need in needs if need in ends]
        ready[name] = max(before, default=overview.began)
        ends[name] = spans[name][1] if name in spans else ready[name]
    return ready
