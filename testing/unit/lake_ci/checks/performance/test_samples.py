"""What the two clocks say together."""

from __future__ import annotations

import math

import pytest

from lake_ci.checks.performance.samples import Compared
from lake_ci.checks.performance.statistics import Interval, Verdict


@pytest.mark.parametrize(
    ("wall", "cpu", "verdict"),
    [
        ((1.2, 1.4), None, Verdict.SLOWER),
        ((0.9, 1.1), (1.3, 1.5), Verdict.FINE),
        ((1.0, 1.3), None, Verdict.UNDECIDED),
        ((0.8, 1.3), (0.98, 1.02), Verdict.FINE),
        # Waiting costs no processor time: its word is not enough where the clock's best
        # guess is beyond.
        ((1.1, 1.5), (0.98, 1.02), Verdict.UNDECIDED),
        ((0.8, 1.3), (1.2, 1.4), Verdict.SLOWER),
    ],
)
def test_the_clock_decides_and_the_processor_helps(
    wall: tuple[float, float], cpu: tuple[float, float] | None, verdict: Verdict
) -> None:
    clocks = [
        None if each is None else Interval(math.sqrt(each[0] * each[1]), *each, 24)
        for each in (wall, cpu)
    ]
    assert clocks[0] is not None
    assert Compared(clocks[0], clocks[1]).verdict(1.15) is verdict
