"""Expected duration of each session: that of its last run, or an estimate."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from lake_ci.errors import BadResultError, UsageError, nearest
from lake_ci.model import results
from lake_ci.model.job import Graph, Variant
from lake_ci.model.results import REPORTS, Status, is_seconds
from lake_ci.model.settings import read_settings
from lake_ci.report import history
from lake_ci.report.overview import State

TABLE = "tool.lake_ci.seconds"
# For a job that `TABLE` does not name.
DEFAULT_SECONDS = 60.0


@dataclass(frozen=True)
class Durations:
    """Expected seconds by session, and the sessions whose seconds are an estimate."""

    seconds: Mapping[str, float]
    estimated: frozenset[str]


def durations(
    root: Path,
    graph: Graph,
    variants: Collection[Variant],
    cached: Callable[[Variant], float | None] | None = None,
) -> Durations:
    """Return the expected seconds of these sessions.

    They are those of the session's last run that passed as a whole: in its result.json,
    else in the history of this checkout, else in the result cache. If there is no such
    run, they are the session's or the job's in `[tool.lake_ci.seconds]` of
    pyproject.toml, else `DEFAULT_SECONDS`.

    Args:
        cached: returns the seconds of a session's newest cached result, None if there
            is none. If it is not given, the result cache is not read.

    Raises:
        UsageError: the table does not name a job, or contains a value that is not a
            number of seconds.
    """
    if not variants:
        return Durations({}, frozenset())
    declared = estimates(root, graph)
    past = _past(root)
    seconds: dict[str, float] = {}
    estimated = set()
    for variant in variants:
        recorded = _recorded(root, variant)
        if recorded is None:
            recorded = past.get(variant.id)
        if recorded is None and cached is not None:
            recorded = cached(variant)
        if recorded is None:
            estimated.add(variant.session)
            job = declared.get(variant.job.name, DEFAULT_SECONDS)
            recorded = declared.get(variant.id, job)
        seconds[variant.session] = recorded
    return Durations(seconds, frozenset(estimated))


def estimates(root: Path, graph: Graph) -> dict[str, float]:
    """Return `[tool.lake_ci.seconds]` of pyproject.toml.

    The keys are names of jobs or ids of sessions (`tests-3.11-java17`), the values are
    seconds.

    Raises:
        UsageError: pyproject.toml or the table is malformed.
    """
    table = read_settings(root).seconds
    names = [*graph.jobs, *(each.id for job in graph for each in job.variants)]
    for name in table:
        if name not in names:
            where = f"pyproject.toml: {TABLE}"
            raise UsageError(f"{where}: no job {name!r}{nearest(name, names)}")
    return table


def _recorded(root: Path, variant: Variant) -> float | None:
    """Return the seconds in a session's result.json; None unless all of it passed."""
    try:
        result = results.read(root / REPORTS / variant.id)
    except BadResultError:
        return None
    passed = result.status in (Status.SUCCESS, Status.WARNING)
    if result.partial or result.cause or not passed or not is_seconds(result.seconds):
        return None
    return result.seconds


def _past(root: Path) -> dict[str, float]:
    """Return the seconds of each session's newest passed run in the history."""
    try:
        text = (root / REPORTS / history.FILE).read_text(encoding="utf-8")
        runs = history.from_text(text)
    except (OSError, ValueError):
        # The report names an unreadable history; estimates do not need it.
        return {}
    return {
        name: session.seconds
        for run in runs
        for name, session in run.sessions.items()
        if session.state in (State.SUCCESS, State.WARNING)
    }
