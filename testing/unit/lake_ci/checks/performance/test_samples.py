"""Wall time and processor time together decide whether a version is slower."""

from __future__ import annotations

import math

import pytest

from lake_ci.checks.performance.samples import SeriesRatio
from lake_ci.checks.performance.statistics import Interval, SpeedVerdict


@pytest.mark.parametrize(
    ("wall", "cpu", "verdict"),
    [
        ((1.2, 1.4), None, SpeedVerdict.SLOWER),
        ((0.9, 1.1), (1.3, 1.5), SpeedVerdict.FINE),
        ((1.0, 1.3), None, SpeedVerdict.UNDECIDED),
        ((0.8, 1.3), (0.98, 1.02), SpeedVerdict.FINE),
        # A process uses no processor time while it waits. So if the estimate for wall
        # time is above the threshold, the version may be slower even with equal
        # processor time.
        ((1.1, 1.5), (0.98, 1.02), SpeedVerdict.UNDECIDED),
        ((0.8, 1.3), (1.2, 1.4), SpeedVerdict.SLOWER),
    ],
)
def test_the_clock_decides_and_the_processor_helps(
    wall: tuple[float, float], cpu: tuple[float, float] | None, verdict: SpeedVerdict
) -> None:
    clocks = [
        None if each is None else Interval(math.sqrt(each[0] * each[1]), *each, 24)
        for each in (wall, cpu)
    ]
    assert clocks[0] is not None
    assert SeriesRatio(clocks[0], clocks[1]).verdict(1.15) is verdict
