"""One run as a whole: what was planned, what came of it, and what is not known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum

from lake_ci.model import schedule
from lake_ci.model.results import TIME_FORMAT, CheckResult, Finding, Result


class State(str, Enum):
    """How a session stands: a result's status, or that it has not ended yet."""

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
        """What a person reads: no meaning hangs on a symbol or a colour alone."""
        words = {"success": "passed", "failure": "failed", "warning": "warning"}
        return words.get(self.value, self.value)

    @property
    def counted(self) -> str:
        """The word after a number of sessions."""
        return "with warnings" if self is State.WARNING else self.word

    @classmethod
    def worst(cls, states: Iterable[State]) -> State:
        """The first of the order above that occurs; skipped where there is none."""
        kinds = set(states)
        return next((state for state in cls if state in kinds), cls.SKIPPED)


@dataclass(frozen=True)
class TestCase:
    """One test of a junit.xml. `outcome` is passed, failed or skipped; `output` is what
    a failed one left.
    """

    __test__ = False  # pytest would collect a class of this name

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
        id: the name of its folder, `tests-3.10-java17`.
        name: the name nox knows it by, `tests-3.10(java17)`.
        state: of its result; a failure where there is none, unless a need did not pass
            or the run goes on.
        why: what the result itself does not say: why there is none, or why it is not
            believed.
        tests: of its junit.xml.
        note: what could not be read of its reports.
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
        """One line on how it ended: why there is no result, or the checks that did not
        pass.
        """
        if self.why or self.result is None:
            return self.why
        # Of a skipped session the check's own words name the need.
        cause = (
            ""
            if self.state is State.SKIPPED
            else (self.result.cause or "").replace("-", " ")
        )
        return "; ".join(filter(None, [self.reused, cause, *self._details]))

    @property
    def _details(self) -> list[str]:
        """What the checks say that decided the state of the session."""
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
        """`as of 2026-01-31 02:00 UTC, run 0123456789ab`: since when it is known, where
        an earlier run found it.
        """
        return self.result.as_of if self.result else ""

    @property
    def span(self) -> tuple[float, float] | None:
        """When it began and ended, in seconds since 1970 UTC; None where it did not
        run, or not in this run.
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
    """A job of the graph. `skipped` is why no session of it was planned, None where
    there are any.
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
        """Of its slowest session."""
        return max((session.seconds for session in self.sessions), default=0.0)


@dataclass(frozen=True)
class Refused:
    """A result.json that counts nowhere, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class PastSession:
    """What the history keeps of a session: its state, its seconds, and the status of
    each check.
    """

    state: State
    seconds: float
    checks: Mapping[str, str]


@dataclass(frozen=True)
class Past:
    """What the history keeps of a run."""

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
    """The one machine on which the sessions of a run ran side by side.

    Attributes:
        number: how many sessions ran at once.
        cores: the machine's processors.
        began: when the run began, in seconds since 1970 UTC.
    """

    number: int
    cores: int
    began: float


@dataclass(frozen=True)
class Overview:
    """All that the summary of a run shows.

    Attributes:
        workers: None where each session had a machine of its own, as on GitHub.
        made: when it was collected, UTC.
        nodes: the jobs of the graph in order, planned or not.
        refused: the results that were found and do not count.
        past: the runs that the history knows, oldest first, without this one.
        notes: what could not be read beside results.
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
        """1 where a session failed or left no result."""
        return int(self.state is State.FAILURE)

    @property
    def spans(self) -> dict[str, tuple[float, float]]:
        """When each session that ran began and ended, by its id; see `Session.span`."""
        return {each.id: each.span for each in self.sessions if each.span is not None}

    @property
    def began(self) -> float:
        """When the run began, else its first session, in seconds since 1970 UTC."""
        first = min((start for start, _ in self.spans.values()), default=0.0)
        return min(self.workers.began, first) if self.workers and first else first

    @property
    def seconds(self) -> float:
        """From the beginning to the last end; 0 where nothing ran."""
        ends = [end for _, end in self.spans.values()]
        return max(ends) - self.began if ends else 0.0

    @property
    def needs(self) -> dict[str, list[str]]:
        """The sessions that each session needs, by their ids, needs first."""
        ids = {node.name: [each.id for each in node.sessions] for node in self.nodes}
        return {
            session.id: [id for need in node.needs for id in ids.get(need, ())]
            for node in self.nodes
            for session in node.sessions
        }

    @property
    def previous(self) -> Past | None:
        """The newest earlier run of this branch, else of any."""
        candidates = [
            past for past in self.past if past.branch == self.branch
        ] or self.past
        return candidates[-1] if candidates else None

    @property
    def tally(self) -> str:
        """`2 failed, 1 warning, 8 passed`: sessions, and the jobs that were not
        planned.
        """
        states = [session.state for session in self.sessions]
        states += [State.SKIPPED for node in self.nodes if node.skipped is not None]
        words = [
            f"{states.count(state)} {state.counted}"
            for state in State
            if state in states
        ]
        return ", ".join(words) or "nothing to run"

    def not_checked(self) -> Iterator[tuple[Session, CheckResult, str]]:
        """Every check that was not fully done, with what was not checked."""
        for session in self.sessions:
            for check in session.checks:
                if check.not_checked is not None:
                    yield session, check, check.not_checked

    def findings(self) -> Iterator[tuple[Session, CheckResult, Finding]]:
        """Every finding, in the order of the graph."""
        for session in self.sessions:
            for check in session.checks:
                for finding in check.findings:
                    yield session, check, finding


def critical_path(overview: Overview) -> tuple[str, ...]:
    """The ids of the sessions of the longest chain of needs by wall time, in order."""
    spans = overview.spans
    seconds = {name: end - start for name, (start, end) in spans.items()}
    path = schedule.critical_path(overview.needs, seconds)
    return tuple(name for name in path if name in spans)
