"""Estimates the ratio of two measured series, with an interval that is robust to noise.

These are pure functions. Their input is a list of generations. A generation is a pair
of processes, an old and a new one, that alternate. Each turn of one process has a
partner right beside it of the other process, so a load that lasts longer than a turn
slows both. The unit of all statistics is the logarithm of the ratio of such a pair of
turns.

The estimate is the mean of the middle 40 % of the pairs, because a burst of load from
another process makes a few pairs arbitrarily bad. 30 % are left out at each end. With
20 %, Wilcox's usual choice, a burst in every tenth pair cost an eighth of the
detections.

The interval comes from a bootstrap in two stages: first generations, then pairs within
each generation. Two processes of the same code differ as well (memory layout, hash
seeds, decisions of the JIT). Percentiles are taken a little further out than 2.5 and
97.5, as small samples require: Hesterberg, "What Teachers Should Know About the
Bootstrap", 2015, section 4.2. For the trimmed mean see Wilcox, "Introduction to Robust
Estimation and Hypothesis Testing", chapter 4.
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
# The interval's width varies from run to run. This factor comes from a simulation: with
# it, a ratio of `detects` is detected as often as promised.
VARYING = 1.15
# With fewer pairs the bootstrap has too few values to draw: its interval would be far
# too narrow.
MINIMUM_PAIRS = 5
NORMAL = NormalDist()


class SpeedVerdict(Enum):
    """The position of an interval relative to a threshold."""

    SLOWER = "slower"
    FINE = "fine"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Interval:
    """A ratio, new by old, with its 95 % interval and the number of pairs.

    A ratio above 1 is slower.
    """

    ratio: float
    low: float
    high: float
    pairs: int

    @property
    def half_width(self) -> float:
        """Half the interval's width, as a share: 0.03 for 0.97 to 1.03."""
        return math.sqrt(self.high / self.low) - 1

    @property
    def error(self) -> float:
        """The standard error of the ratio's logarithm, as the interval implies it."""
        return math.log(self.high / self.low) / (2 * NORMAL.inv_cdf((1 + LEVEL) / 2))

    def verdict(self, threshold: float) -> SpeedVerdict:
        """Return the position of the interval relative to the threshold.

        It is slower if the whole interval is above the threshold, and undecided if the
        threshold is inside the interval.
        """
        if self.low > threshold:
            return SpeedVerdict.SLOWER
        return SpeedVerdict.UNDECIDED if self.high > threshold else SpeedVerdict.FINE

    def detects(self, threshold: float) -> float:
        """Return the smallest true ratio that is detected in about 19 of 20 runs.

        The ratio is above the threshold; the number of pairs stays the same.
        """
        quantiles = NORMAL.inv_cdf((1 + LEVEL) / 2) + NORMAL.inv_cdf(POWER)
        return threshold * math.exp(VARYING * quantiles * self.error)

    def pairs_needed(self, threshold: float) -> int | None:
        """Return how many pairs are needed until the interval excludes the threshold.

        This assumes that the ratio stays the same. Return None if the ratio is so near
        the threshold that a hundred times as many pairs might not be enough.
        """
        distance = abs(math.log(self.ratio / threshold))
        half = max(math.log(self.high / self.ratio), math.log(self.ratio / self.low))
        if distance * 10 <= half:
            return None
        return max(self.pairs + 1, math.ceil(self.pairs * (half / distance) ** 2))


def trimmed_mean(values: Sequence[float], share: float = TRIMMED) -> float:
    """Return the mean without that share of the smallest and of the largest values.

    Raises ValueError for no values.
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
    """Compare two series of generations; a generation has the rounds of one process.

    The n-th rounds of both series are a pair. The same input always gives the same
    interval, because the random generator is seeded.

    Raises:
        ValueError: the series differ in shape, contain a value that is not above 0, or
            have too few pairs.
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
    # With few pairs, a percentile may not reach the estimate.
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
    """Return the share to leave out at each end.

    With this share, an interval of few pairs has the same coverage as one of many
    pairs.
    """
    freedom = pairs - 1
    z = NORMAL.inv_cdf((1 + LEVEL) / 2)
    # Student's quantile, computed from the normal quantile by the Cornish-Fisher
    # expansion; exact to a few thousandths from 4 degrees of freedom.
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
