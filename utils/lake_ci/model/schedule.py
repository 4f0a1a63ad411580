"""Computes the order in which sessions start, and how long a run takes.

nox does list scheduling: a free worker looks through a list of sessions, and takes the
first session that can start. A session can start if all sessions that it needs have
passed. `start_order` returns the list.

A graph is a mapping from the name of each session to the names of the sessions that it
needs. In the mapping, each session comes after the sessions that it needs. A needed
session is ignored if it is not a key of the mapping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Needs = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Estimate:
    """The estimated order and duration of the sessions of a plan.

    Attributes:
        order: all sessions of the plan, in the order in which they start.
        cached: the sessions that take no time, because their cached results are reused.
        unrecorded: the sessions that run, but whose duration has never been recorded.
            The seconds of these sessions come from `[tool.lake_ci.seconds]`.
        path: the sessions of the critical path, first to last.
        path_seconds: the sum of the seconds of the sessions in `path`.
        total_seconds: the sum of the seconds of all sessions.
        workers: how many sessions run at once.
        quick: the first session that needs no other session, with its seconds. None if
            the plan has only one session.
    """

    order: tuple[str, ...]
    cached: frozenset[str]
    unrecorded: frozenset[str]
    path: tuple[str, ...]
    path_seconds: float
    total_seconds: float
    workers: int
    quick: tuple[str, float] | None = None

    @property
    def seconds(self) -> float:
        """The lower bound of a run's duration; list scheduling takes little longer."""
        return max(self.path_seconds, self.total_seconds / self.workers)


def longest_paths(needs: Needs, seconds: Mapping[str, float]) -> dict[str, float]:
    """For each session, return the seconds of the longest path from this session.

    A path is a sequence of sessions; each session needs the previous session. A session
    that is not in `seconds` takes no time.
    """
    longest = dict.fromkeys(needs, 0.0)
    for name in reversed(list(needs)):
        longest[name] += seconds.get(name, 0.0)
        for need in needs[name]:
            if need in longest:
                longest[need] = max(longest[need], longest[name])
    return longest


def start_order(needs: Needs, seconds: Mapping[str, float]) -> list[str]:
    """Return the sessions sorted by their longest path, longest first.

    Sessions with equally long paths keep their order. The path from a needed session is
    at least as long as the path from the dependent session. So a needed session comes
    first, and nox does not change the order.
    """
    longest = longest_paths(needs, seconds)
    return sorted(needs, key=lambda name: -longest[name])


def critical_path(needs: Needs, seconds: Mapping[str, float]) -> list[str]:
    """Return the sessions of the graph's longest path, from the first to the last."""
    longest = longest_paths(needs, seconds)
    dependents: dict[str, list[str]] = {name: [] for name in needs}
    for name in needs:
        for need in needs[name]:
            if need in dependents:
                dependents[need].append(name)
    path: list[str] = []
    candidates = list(needs)
    while candidates:
        path.append(max(candidates, key=longest.__getitem__))
        candidates = dependents[path[-1]]
    return path
