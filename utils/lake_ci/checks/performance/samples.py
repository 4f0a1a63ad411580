"""Computes the ratios of a benchmark from the measurements of pairs of processes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from lake_ci.checks.performance.history import Figures, Measurement
from lake_ci.checks.performance.statistics import Interval, SpeedVerdict, compare

# If a part takes less than this time on both versions, the part is not compared,
# because so short a time depends mostly on the clock and the scheduler.
SHORTEST_SECONDS = 0.01


@dataclass
class Rounds:
    """The measurements of one process.

    Attributes:
        series: the seconds of each round, by the name of the benchmark's part. The name
            "" stands for the whole benchmark.
        cpu: the processor seconds of each round, by the name of the benchmark's part.
        peak_mb: the peak memory in megabytes.
    """

    series: dict[str, list[float]]
    cpu: dict[str, list[float]]
    peak_mb: float


@dataclass(frozen=True)
class SeriesRatio:
    """The ratios of one series, by wall clock and by processor time.

    Attributes:
        cpu: the ratio by processor time; None if the time is too short to measure.
    """

    wall: Interval
    cpu: Interval | None = None

    def verdict(self, threshold: float) -> SpeedVerdict:
        """Return whether the new version is slower, by wall clock or by processor time.

        If the verdict by wall clock is undecided, processor time decides. But while a
        process waits, it uses no processor time. So if processor time gives the verdict
        FINE, the verdict counts only if the ratio by wall clock is not above the
        threshold.
        """
        first = self.wall.verdict(threshold)
        if first is not SpeedVerdict.UNDECIDED or self.cpu is None:
            return first
        second = self.cpu.verdict(threshold)
        return (
            SpeedVerdict.UNDECIDED
            if second is SpeedVerdict.FINE and self.wall.ratio > threshold
            else second
        )

    @property
    def narrower(self) -> Interval:
        """The narrower interval of two: by wall clock, and by processor time."""
        if self.cpu is not None and self.cpu.half_width < self.wall.half_width:
            return self.cpu
        return self.wall

    def __str__(self) -> str:
        """Return a text such as `1.31 times the baseline (1.28 to 1.34)`."""
        text = (
            f"{self.wall.ratio:.2f} times the baseline ({self.wall.low:.2f} to"
            f" {self.wall.high:.2f})"
        )
        if self.cpu is None or self.narrower is self.wall:
            return text
        return (
            f"{text}, by processor time {self.cpu.ratio:.2f} ({self.cpu.low:.2f} to"
            f" {self.cpu.high:.2f})"
        )


@dataclass
class Samples:
    """The measurements of a benchmark so far, in pairs of processes."""

    old: list[Rounds] = field(default_factory=list)
    new: list[Rounds] = field(default_factory=list)

    def compared(self) -> dict[str, SeriesRatio]:
        """Return the ratio of each series that is long enough to compare."""
        return {
            name: SeriesRatio(self._wall_ratio(name), self._processor_ratio(name))
            for name in self.new[0].series
            if self._is_judged(name)
        }

    def _is_judged(self, name: str) -> bool:
        """Return whether a series was measured in all processes, and is long enough.

        The whole benchmark, which is the series with the empty name, always counts as
        long enough.
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
        """Return the ratio by processor time; None if the time is too short."""
        old, new = (
            [each.cpu.get(name, []) for each in side] for side in (self.old, self.new)
        )
        is_counted = all(
            turn and min(turn) >= SHORTEST_SECONDS / 2 for turn in (*old, *new)
        )
        return compare(old, new) if is_counted else None

    def measured(self) -> Measurement:
        """Return the figures of each series for the history."""
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
        return Measurement(figures, round(new, 1), old)

    def memory(self) -> tuple[float, float] | None:
        """Return the smallest and the largest ratio of peak memory.

        The result is None if memory was not measured.
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
