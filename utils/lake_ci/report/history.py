"""Stores a short record of each run, and compares a run with the previous one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lake_ci.report.overview import Overview, Past, PastSession, Session, State
from lake_ci.report.terminal import seconds

# The path of the history, relative to reports/.
FILE = ".history/runs.json"
MAX_RUNS = 20
SCHEMA = 1
# A session is slower or faster if its time changed by at least a fifth and by at least
# five seconds. Smaller changes are noise.
NOTABLE_SHARE, NOTABLE_SECONDS = 0.2, 5.0
BAD = {"failure"}


@dataclass(frozen=True)
class Change:
    """A difference between a session and the same session in the previous run.

    `kind` is failing, fixed, new, slower or faster.
    """

    kind: str
    session: str
    name: str
    text: str


def compare(overview: Overview) -> tuple[Change, ...]:
    """Return the differences between this run and the previous run, new failures first.

    If there is no previous run, the result is empty.
    """
    past = overview.previous
    if past is None:
        return ()
    order = ["failing", "fixed", "new", "slower", "faster"]
    return tuple(
        sorted(_changes(overview, past), key=lambda change: order.index(change.kind))
    )


def _changes(overview: Overview, past: Past) -> Iterator[Change]:
    for session in overview.sessions:
        before = past.sessions.get(session.id)
        if before is None:
            changes = [("new", f"{session.state.word}; was not in that run")]
        else:
            changes = [
                *_state_change(session, before),
                *_check_changes(session, before),
                *_time_change(session, before),
            ]
        for kind, text in changes:
            yield Change(kind, session.id, session.name, text)


def _state_change(session: Session, before: PastSession) -> Iterator[tuple[str, str]]:
    """Yield the kind and the text of the change if a session has no result."""
    if session.result is None and session.state is not before.state:
        kind = "failing" if session.state is State.FAILURE else "new"
        yield kind, f"{session.state.word}, was {before.state.word}: {session.why}"


def _check_changes(session: Session, before: PastSession) -> Iterator[tuple[str, str]]:
    """Yield kind and text of the change for each check that now fails or was fixed."""
    for check in session.checks:
        was = before.checks.get(check.name)
        if check.status.value in BAD and was not in BAD:
            yield "failing", f"{check.name}, was {was or 'not there'}"
        elif was in BAD and check.status.value == "success":
            yield "fixed", check.name


def _time_change(session: Session, before: PastSession) -> Iterator[tuple[str, str]]:
    """Yield the change's kind and text if a passed session became slower or faster."""
    if session.state not in (State.SUCCESS, State.WARNING) or not before.seconds:
        return
    by = session.seconds - before.seconds
    if abs(by) >= max(NOTABLE_SECONDS, NOTABLE_SHARE * before.seconds):
        kind = "slower" if by > 0 else "faster"
        yield kind, f"{seconds(session.seconds)}, was {seconds(before.seconds)}"


def past_of(overview: Overview) -> Past:
    """Return the record of this run for the history."""
    sessions = {
        session.id: PastSession(
            session.state,
            round(session.seconds, 3),
            {check.name: check.status.value for check in session.checks},
        )
        for session in overview.sessions
    }
    return Past(
        overview.run,
        overview.event,
        overview.branch,
        overview.commit,
        overview.made,
        overview.state,
        round(overview.seconds, 3),
        sessions,
    )


def to_text(runs: Sequence[Past]) -> str:
    """Return the history file's text, which contains only the newest runs."""
    return (
        json.dumps(
            {"schema": SCHEMA, "runs": [asdict(run) for run in runs[-MAX_RUNS:]]},
            ensure_ascii=True,
        )
        + "\n"
    )


def from_text(text: str) -> list[Past]:
    """Return the runs in the text of a history file, oldest first.

    Raises:
        ValueError: the text is not a history file.
    """
    try:
        body = json.loads(text)
        if body["schema"] != SCHEMA:
            raise ValueError(f"schema {body['schema']!r}, expected {SCHEMA}")
        return [_past(run) for run in body["runs"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a history: {error}") from None


def _past(run: dict[str, Any]) -> Past:
    sessions = {
        str(name): PastSession(
            State(row["state"]),
            float(row["seconds"]),
            {str(check): str(status) for check, status in row["checks"].items()},
        )
        for name, row in run["sessions"].items()
    }
    branch, commit = (
        None if run[key] is None else str(run[key]) for key in ("branch", "commit")
    )
    return Past(
        str(run["run"]),
        str(run["event"]),
        branch,
        commit,
        str(run["made"]),
        State(run["state"]),
        float(run["seconds"]),
        sessions,
    )
