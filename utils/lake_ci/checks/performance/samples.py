"""What pairs of processes measured of one benchmark, old and new in turns, and the
ratios that follow from it.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from lake_ci.checks.performance.history import Figures, Measured
from lake_ci.checks.performance.statistics import Interval, Verdict, compare

# A part that takes less in both versions is not judged: the clock and the scheduler
# make its figures.
SHORTEST_SECONDS = 0.01


@dataclass
class Rounds:
    """What one process measured: seconds of the whole under "", of parts under their
    names, and of the processor.
    """

    series: dict[str, list[float]]
    cpu: dict[str, list[float]]
    peak_mb: float


@dataclass(frozen=True)
class Compared:
    """One series in two clocks: what a person waits for, and the seconds of the
    processor (None: too few to count).
    """

    wall: Interval
    cpu: Interval | None = None

    def verdict(self, threshold: float) -> Verdict:
        """What the clock says; where it cannot tell, for the machine is busy with other
        things, what the processor says.

        The processor's word for "not slower" is taken only where the clock's best guess
        agrees: waiting costs no processor time.
        """
        said = self.wall.verdict(threshold)
        if said is not Verdict.UNDECIDED or self.cpu is None:
            return said
        second = self.cpu.verdict(threshold)
        return (
            Verdict.UNDECIDED
            if second is Verdict.FINE and self.wall.ratio > threshold
            else second
        )

    @property
    def narrower(self) -> Interval:
        """The clock that tells more."""
        if self.cpu is not None and self.cpu.half_width < self.wall.half_width:
            return self.cpu
        return self.wall

    def __str__(self) -> str:
        """`1.31 times the baseline (1.28 to 1.34)`."""
        text = (
            f"{self.wall.ratio:.2f} times the baseline ({self.wall.low:.2f} to"
            f" {self.wall.high:.2f})"
        )
        if self.cpu is None or self.narrower is self.wall:
            return text
        return (
            f"{text}, of the processor {self.cpu.ratio:.2f} ({self.cpu.low:.2f} to"
            f" {self.cpu.high:.2f})"
        )


@dataclass
class Generations:
    """What all pairs of processes of a benchmark measured, so far."""

    old: list[Rounds] = field(default_factory=list)
    new: list[Rounds] = field(default_factory=list)

    def compared(self) -> dict[str, Compared]:
        """The ratios of each series that every process has, and that is long enough to
        be judged.
        """
        return {
            name: Compared(self._wall_ratio(name), self._processor_ratio(name))
            for name in self.new[0].series
            if self._is_judged(name)
        }

    def _is_judged(self, name: str) -> bool:
        """Whether every process has a series, and it is long enough; the whole always
        is.
        """
        if not all(name in each.series for each in (*self.old, *self.new)):
            return False
        longer = max(_median(self.old, name), _median(self.new, name))
        return not name or longer >= SHORTEST_SECONDS

    def _wall_ratio(self, name: str) -> Interval:
        return compare(
            [each.series[name] for each in self.old],
            [each.series[name] for each in self.new],
        )

    def _processor_ratio(self, name: str) -> Interval | None:
        """The ratio of processor seconds; None where they are too few to compare."""
        old, new = (
            [each.cpu.get(name, []) for each in side] for side in (self.old, self.new)
        )
        is_counted = all(
            turn and min(turn) >= SHORTEST_SECONDS / 2 for turn in (*old, *new)
        )
        return compare(old, new) if is_counted else None

    def measured(self) -> Measured:
        """The figures to keep."""
        compared = self.compared() if self.old else {}
        figures = {}
        for name in self.new[0].series:
            figures[name] = Figures(round(_median(self.new, name), 6))
            if name in compared:
                found = compared[name].narrower
                figures[name] = Figures(
                    round(_median(self.new, name), 6),
                    round(_median(self.old, name), 6),
                    round(found.ratio, 4),
                    round(found.low, 4),
                    round(found.high, 4),
                    pairs=found.pairs,
                )
        new = statistics.median(each.peak_mb for each in self.new)
        old = (
            round(statistics.median(each.peak_mb for each in self.old), 1)
            if self.old
            else None
        )
        return Measured(figures, round(new, 1), old)

    def memory(self) -> tuple[float, float] | None:
        """The smallest and the largest ratio of peak memory of a pair; None where the
        system tells no peaks.
        """
        ratios = [
            new.peak_mb / old.peak_mb
            for old, new in zip(self.old, self.new)
            if old.peak_mb > 0
        ]
        return (min(ratios), max(ratios)) if ratios else None


def _median(side: Sequence[Rounds], name: str) -> float:
    return statistics.median(
        seconds for each in side for seconds in each.series.get(name, ())
    )
