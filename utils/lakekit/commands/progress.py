"""Reports the progress of a run, and measures the seconds spent on each table."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Callable, Dict, Iterator

Progress = Callable[[str, int, int], None]
"""A callback that receives the current action, the number of finished steps and the
total number of steps. The total decreases if some source files turn out to need no
further steps.
"""
Clock = Callable[[], float]


class Steps:
    """Reports each step before it starts, and sums the seconds of the steps of each
    table.

    Attributes:
        done: the number of steps that have started.
        total: the total number of steps, as far as it is known.
    """

    def __init__(self, report: Progress, clock: Clock) -> None:
        self._report, self._clock = report, clock
        self._seconds: Dict[str, float] = {}
        self.done = 0
        self.total = 1

    @contextmanager
    def step(self, table: str, doing: str) -> Iterator[None]:
        """Report a step of a table, and measure its seconds."""
        self._report(f"{table}: {doing}", self.done, self.total)
        self.done += 1
        with self.measured(table):
            yield

    @contextmanager
    def measured(self, table: str) -> Iterator[None]:
        """Measure the seconds of work for a table, but do not report a step."""
        begun = self._clock()
        try:
            yield
        finally:
            self._seconds[table] = self.seconds(table) + self._clock() - begun

    def seconds(self, table: str) -> float:
        """Return the seconds spent on a table so far."""
        return self._seconds.get(table, 0.0)

    def finish(self) -> None:
        """Report that all steps are finished."""
        self._report("", self.total, self.total)
