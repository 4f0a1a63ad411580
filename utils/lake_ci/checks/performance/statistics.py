"""Estimates the ratio of two series, and an interval that is robust against noise.

All functions are pure. The input is a list of generations. A generation is a pair of
processes that take turns: one process of the old version, and one process of the new
version. Each turn of one process is next to a turn of the other process. So if a load
on the machine lasts longer than a turn, the load slows both turns. All statistics use
the logarithm of the ratio of two adjacent turns.

A burst of load from another program can make the ratios of a few pairs arbitrarily bad.
So the estimate is the mean of the ratios without the smallest 30 % and the largest 30
%. Wilcox usually leaves out 20 % of the values at each end. But with 20 %, if a burst
hit every tenth pair, one of eight slower versions was no longer detected.

The interval comes from a bootstrap. The bootstrap first draws generations, and then
pairs within each generation. The reason is that even two processes with the same code
differ in speed (memory layout, hash seeds, decisions of the JIT). For small samples,
the percentiles must be a little further out than 2.5 and 97.5: see Hesterberg, "What
Teachers Should Know About the Bootstrap", 2015, section 4.2. For the trimmed mean see
Wilcox, "Introduction to Robust Estimation and Hypothesis Testing", chapter 4.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import NormalDist

TRIMMED = 0.3
RESAMPLES = 1000
LEVEL = 0.95
POWER = 0.95
# The width of the interval varies from run to run. This factor, which comes from a
# simulation, corrects `detects` for the interval's varying width.
VARYING = 1.15
# With fewer pairs than this, the bootstrap draws from too few values, and the
# bootstrap's interval is far too narrow.
MINIMUM_PAIRS = 5
NORMAL = NormalDist()


class SpeedVerdict(Enum):
    """Whether an interval is above, below or around a threshold."""

    SLOWER = "slower"
    FINE = "fine"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Interval:
    """A ratio (new / old), its 95 % interval, and the number of the measured pairs.

    A ratio above 1 means that the new version is slower.
    """

    ratio: float
    low: float
    high: float
    pairs: int

    @property
    def half_width(self) -> float:
        """Half the interval's width as a share of the ratio: 0.03 for 0.97 to 1.03."""
        return math.sqrt(self.high / self.low) - 1

    @property
    def error(self) -> float:
        """The standard error of the ratio's logarithm, computed from the interval."""
        return math.log(self.high / self.low) / (2 * NORMAL.inv_cdf((1 + LEVEL) / 2))

    def verdict(self, threshold: float) -> SpeedVerdict:
        """Return the position of the interval relative to the threshold.

        The verdict is SLOWER if the whole interval is above the threshold, and
        UNDECIDED if the threshold is inside the interval.
        """
        if self.low > threshold:
            return SpeedVerdict.SLOWER
        return SpeedVerdict.UNDECIDED if self.high > threshold else SpeedVerdict.FINE

    def detects(self, threshold: float) -> float:
        """Return the smallest true ratio that about 19 of 20 runs detect as slower.

        The returned ratio is above the threshold. The calculation assumes that each run
        has as many pairs as this run.
        """
        quantiles = NORMAL.inv_cdf((1 + LEVEL) / 2) + NORMAL.inv_cdf(POWER)
        return threshold * math.exp(VARYING * quantiles * self.error)

    def pairs_needed(self, threshold: float) -> int | None:
        """Return how many pairs are needed until the interval excludes the threshold.

        The number assumes that more pairs do not change the ratio. The result is None
        if the ratio is so near the threshold that even a hundred times as many pairs
        might be too few.
        """
        distance = abs(math.log(self.ratio / threshold))
        half = max(math.log(self.high / self.ratio), math.log(self.ratio / self.low))
        if distance * 10 <= half:
            return None
        return max(self.pairs + 1, math.ceil(self.pairs * (half / distance) ** 2))


def trimmed_mean(values: Sequence[float], share: float = TRIMMED) -> float:
    """Return the mean of the values, without the smallest and the largest values.

    `share` is the share of the values to leave out at each end. Raises ValueError if
    there are no values.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    cut = int(len(ordered) * share)
    middle = ordered[cut : len(ordered) - cut]
    return math.fsum(middle) / len(middle)


def compare(
    old: Sequence[Sequence[float]],
    new: Sequence[Sequence[float]],
    *,
    resamples: int = RESAMPLES,
) -> Interval:
    """Return the ratio of two series; a series is a list of generations of rounds.

    A generation contains the seconds of the rounds of one process. The n-th round of
    the old series and the n-th round of the new series are a pair. The same input
    always gives the same interval, because the random generator is seeded.

    Raises:
        ValueError: the two series have different numbers of generations or rounds,
            contain a value of 0 or less, or have too few pairs.
    """
    generations = [
        [math.log(after / before) for before, after in zip(olds, news, strict=True)]
        for olds, news in zip(old, new, strict=True)
    ]
    generations = [pairs for pairs in generations if pairs]
    pairs = [value for generation in generations for value in generation]
    if len(pairs) < MINIMUM_PAIRS:
        raise ValueError(f"{len(pairs)} pairs, at least {MINIMUM_PAIRS} are needed")
    estimates = _resampled(generations, resamples)
    tail = _tail(len(pairs))
    low, high = (_quantile(estimates, share) for share in (tail, 1 - tail))
    estimate = trimmed_mean(pairs)
    # With few pairs, the estimate may be outside the interval of the percentiles.
    low, high = min(low, estimate), max(high, estimate)
    return Interval(math.exp(estimate), math.exp(low), math.exp(high), len(pairs))


def _resampled(generations: Sequence[Sequence[float]], resamples: int) -> list[float]:
    generator = random.Random(len(generations))
    estimates = []
    for _ in range(resamples):
        drawn: list[float] = []
        for generation in generator.choices(generations, k=len(generations)):
            drawn += generator.choices(generation, k=len(generation))
        estimates.append(trimmed_mean(drawn))
    return sorted(estimates)


def _tail(pairs: int) -> float:
    """Return the share of the bootstrap's values to leave out at each end.

    With this share, an interval of few pairs has the same coverage as an interval of
    many pairs.
    """
    freedom = pairs - 1
    z = NORMAL.inv_cdf((1 + LEVEL) / 2)
    # Student's quantile, computed from the normal quantile by the Cornish-Fisher
    # expansion. With 4 or more degrees of freedom, the expansion's error is a few
    # thousandths.
    student = (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    )
    return NORMAL.cdf(-math.sqrt(pairs / freedom) * student)


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
