"""Describes a whole run: the planned sessions, and their results or missing results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum

from lake_ci.model import schedule
from lake_ci.model.results import TIME_FORMAT, CheckResult, Finding, Result


class State(str, Enum):
    """The state of a session: its result's status, or `running` before it has ended."""

    FAILURE = "failure"
    RUNNING = "running"
    WARNING = "warning"
    SUCCESS = "success"
    SKIPPED = "skipped"

    @property
    def symbol(self) -> str:
        return {
            "success": "✅",
            "failure": "❌",
            "running": "⏳",
            "skipped": "⏸️",
            "warning": "⚠️",
        }[self.value]

    @property
    def word(self) -> str:
        """The state as a word, for readers who cannot see symbols or colors."""
        words = {"success": "passed", "failure": "failed", "warning": "warning"}
        return words.get(self.value, self.value)

    @property
    def counted(self) -> str:
        """The word for this state after a number, such as `failed` in `2 failed`."""
        return "with warnings" if self is State.WARNING else self.word

    @classmethod
    def worst(cls, states: Iterable[State]) -> State:
        """Return the worst of these states, or `skipped` if there are no states."""
        kinds = set(states)
        return next((state for state in cls if state in kinds), cls.SKIPPED)


@dataclass(frozen=True)
class TestCase:
    """One test of a junit.xml.

    `outcome` is passed, failed or skipped. `output` is the output of a failed test.
    """

    __test__ = False  # otherwise the name would make pytest collect this class

    name: str
    seconds: float
    outcome: str
    file: str | None = None
    line: int | None = None
    output: str = ""


@dataclass(frozen=True)
class Session:
    """A planned session.

    Attributes:
        id: the name of the session's folder, `tests-3.10-java17`.
        name: the session's name in nox, `tests-3.10(java17)`.
        state: the status of the session's result. A session without a result is a
            failure, except if a needed session did not pass, or if the run has not
            ended.
        why: why there is no result, or why the result was rejected.
        tests: the tests in the session's junit.xml.
        note: the error of a report that could not be read.
    """

    id: str
    name: str
    job: str
    reproduce: str
    state: State
    why: str = ""
    result: Result | None = None
    tests: tuple[TestCase, ...] = ()
    note: str = ""

    @property
    def seconds(self) -> float:
        return self.result.seconds if self.result else 0.0

    @property
    def checks(self) -> tuple[CheckResult, ...]:
        return self.result.checks if self.result else ()

    @property
    def headline(self) -> str:
        """Return one line about how the session ended.

        The line states why there is no result, or lists the checks that did not pass.
        """
        if self.why or self.result is None:
            return self.why
        # If a session was skipped, the detail of its check already names the cause.
        cause = (
            ""
            if self.state is State.SKIPPED
            else (self.result.cause or "").replace("-", " ")
        )
        return "; ".join(filter(None, [self.reused, cause, *self._details]))

    @property
    def _details(self) -> list[str]:
        """Return the details of the checks that decided the state of the session."""
        rows = [
            check for check in self.checks if check.status.value == self.state.value
        ]
        if self.state is State.SKIPPED:
            return [check.detail for check in rows]
        if self.state is State.SUCCESS and len(rows) != 1:
            return [f"{len(rows)} checks passed"]
        return [
            f"{check.name}: {check.detail}" if check.detail else check.name
            for check in rows
        ]

    @property
    def reused(self) -> str:
        """Return `as of 2026-01-31 02:00 UTC, run 0123456789ab` for a reused result."""
        return self.result.as_of if self.result else ""

    @property
    def span(self) -> tuple[float, float] | None:
        """Return the start and end of the session, in seconds since 1970 UTC.

        The result is None if the session did not run, or if its result was reused.
        """
        if (
            self.result is None
            or self.result.seconds <= 0
            or self.result.cause == "need-failed"
        ):
            return None
        if self.result.reused is not None:
            return None
        start = (
            datetime.strptime(self.result.started, TIME_FORMAT)
            .replace(tzinfo=timezone.utc)
            .timestamp()
        )
        return start, start + self.result.seconds


@dataclass(frozen=True)
class Node:
    """A job of the graph.

    `skipped` is the reason why no session of the job was planned. `skipped` is None if
    a session of the job was planned.
    """

    name: str
    summary: str
    needs: tuple[str, ...]
    sessions: tuple[Session, ...] = ()
    skipped: str | None = None

    @property
    def state(self) -> State:
        return State.worst(session.state for session in self.sessions)

    @property
    def seconds(self) -> float:
        """Return the seconds of the job's slowest session."""
        return max((session.seconds for session in self.sessions), default=0.0)


@dataclass(frozen=True)
class Refused:
    """A result.json that was rejected, and the reason."""

    file: str
    reason: str


@dataclass(frozen=True)
class PastSession:
    """A session in the history: its state, seconds, and the status of each check."""

    state: State
    seconds: float
    checks: Mapping[str, str]


@dataclass(frozen=True)
class Past:
    """A run in the history."""

    run: str
    event: str
    branch: str | None
    commit: str | None
    made: str
    state: State
    seconds: float
    sessions: Mapping[str, PastSession]


@dataclass(frozen=True)
class Workers:
    """The machine on which all sessions of a run ran in parallel.

    Attributes:
        number: the number of sessions that ran at once.
        cores: the machine's processors.
        began: when the run began, in seconds since 1970 UTC.
    """

    number: int
    cores: int
    began: float


@dataclass(frozen=True)
class Overview:
    """Everything that the summary of a run shows.

    Attributes:
        workers: the machine that all sessions shared; None if each session had its own
            machine, as on GitHub.
        made: the time when the results were collected, UTC.
        nodes: the jobs of the graph in order, planned or not.
        refused: the result files that were found but rejected.
        past: the earlier runs in the history, oldest first.
        notes: the errors of unreadable files, except the files with results and tests.
    """

    run: str
    attempt: int
    event: str
    branch: str | None
    commit: str | None
    dirty: bool
    made: str
    nodes: tuple[Node, ...] = ()
    refused: tuple[Refused, ...] = ()
    past: tuple[Past, ...] = ()
    notes: tuple[str, ...] = field(default=())
    workers: Workers | None = None

    @property
    def sessions(self) -> tuple[Session, ...]:
        return tuple(session for node in self.nodes for session in node.sessions)

    @property
    def failed(self) -> tuple[Session, ...]:
        return tuple(
            session for session in self.sessions if session.state is State.FAILURE
        )

    @property
    def state(self) -> State:
        return State.worst(session.state for session in self.sessions)

    @property
    def exit_code(self) -> int:
        """Return 1 if a session failed or has no result."""
        return int(self.state is State.FAILURE)

    @property
    def spans(self) -> dict[str, tuple[float, float]]:
        """Return the `Session.span` of each session that ran, by session id."""
        return {each.id: each.span for each in self.sessions if each.span is not None}

    @property
    def began(self) -> float:
        """Return when the run started, or when its first session started if unknown.

        The returned time is in seconds since 1970 UTC.
        """
        first = min((start for start, _ in self.spans.values()), default=0.0)
        return min(self.workers.began, first) if self.workers and first else first

    @property
    def seconds(self) -> float:
        """Return the seconds from the run's start to the last session's end, or 0."""
        ends = [end for _, end in self.spans.values()]
        return max(ends) - self.began if ends else 0.0

    @property
    def needs(self) -> dict[str, list[str]]:
        """Return the ids of the sessions that each session needs, in graph order."""
        ids = {node.name: [each.id for each in node.sessions] for node in self.nodes}
        return {
            session.id: [id for need in node.needs for id in ids.get(need, ())]
            for node in self.nodes
            for session in node.sessions
        }

    @property
    def previous(self) -> Past | None:
        """Return the newest earlier run of this branch, or else of any branch."""
        candidates = [
            past for past in self.past if past.branch == self.branch
        ] or self.past
        return candidates[-1] if candidates else None

    @property
    def tally(self) -> str:
        """Count sessions and unplanned jobs by state, as in `2 failed, 8 passed`."""
        states = [session.state for session in self.sessions]
        states += [State.SKIPPED for node in self.nodes if node.skipped is not None]
        words = [
            f"{states.count(state)} {state.counted}"
            for state in State
            if state in states
        ]
        return ", ".join(words) or "nothing to run"

    def not_checked(self) -> Iterator[tuple[Session, CheckResult, str]]:
        """Yield each incomplete check, its session, and what was not checked."""
        for session in self.sessions:
            for check in session.checks:
                if check.not_checked is not None:
                    yield session, check, check.not_checked

    def findings(self) -> Iterator[tuple[Session, CheckResult, Finding]]:
        """Yield every finding, in the order of the graph."""
        for session in self.sessions:
            for check in session.checks:
                for finding in check.findings:
                    yield session, check, finding


def critical_path(overview: Overview) -> tuple[str, ...]:
    """Return the session ids of the critical path, first to last."""
    spans = overview.spans
    seconds = {name: end - start for name, (start, end) in spans.items()}
    path = schedule.critical_path(overview.needs, seconds)
    return tuple(name for name in path if name in spans)
