"""Finds the expected duration of each session, from the last run or an estimate."""

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
# The estimate for a job that is not in `TABLE`.
DEFAULT_SECONDS = 60.0


@dataclass(frozen=True)
class Durations:
    """The expected seconds of each session.

    `estimated` contains the sessions whose seconds are only an estimate.
    """

    seconds: Mapping[str, float]
    estimated: frozenset[str]


def durations(
    root: Path,
    graph: Graph,
    variants: Collection[Variant],
    cached: Callable[[Variant], float | None] | None = None,
) -> Durations:
    """Return the expected seconds of the sessions.

    If a complete run of a session has passed, the seconds of the last passed run are
    used. The seconds are read from the session's result.json, or else from the history
    of this checkout, or else from the result cache. If no complete run has passed, an
    estimate is used: the value of the session or of the session's job in
    `[tool.lake_ci.seconds]`, or else `DEFAULT_SECONDS`.

    Args:
        cached: a function that returns the seconds of a session's newest cached result,
            or None. If `cached` is None, the result cache is not read.

    Raises:
        UsageError: in `[tool.lake_ci.seconds]`, a key is neither a job nor a session,
            or a value is not a number of seconds.
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
    """Return the table `[tool.lake_ci.seconds]` in pyproject.toml.

    A key is the name of a job, or the id of a session such as `tests-3.11-java17`. The
    values are seconds.

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
    """Return the seconds in a session's result.json; None unless the session passed."""
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
        # Ignore an unreadable history: the report shows the error, and durations can be
        # estimated without the history.
        return {}
    return {
        name: session.seconds
        for run in runs
        for name, session in run.sessions.items()
        if session.state in (State.SUCCESS, State.WARNING)
    }
