"""How much slower: the ratio of two measured series, with an interval that a noisy
machine does not fool.

Pure functions. What they are given are generations: pairs of processes, an old and a
new one, that took turns. Each turn of one has a partner right beside it of the other,
so that whatever slows the machine for longer than a turn slows both; the unit of all
statistics is the logarithm of such a pair's ratio.

The estimate is the mean of the middle 40 % of the pairs: a neighbour's burst of load
makes a few pairs arbitrarily bad, and with 20 % left out at each end, Wilcox's usual
choice, a burst in every tenth pair cost an eighth of the detections. The interval comes
from a bootstrap in two stages, first generations, then pairs within each, for two
processes of the very same code differ as well (memory layout, hash seeds, what
the JIT made of it). Percentiles are taken a little further out than 2.5 and 97.5, as
small samples ask for: Hesterberg, "What Teachers Should Know About the Bootstrap",
2015, section 4.2; for the trimmed mean see Wilcox, "Introduction to Robust Estimation
and Hypothesis Testing", chapter 4.
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
# Fewer pairs give a bootstrap nothing to choose from: its interval would be far too
# narrow.
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
        """Slower when the whole interval lies beyond the threshold; undecided when the
        threshold lies inside.
        """
        if self.low > threshold:
            return SpeedVerdict.SLOWER
        return SpeedVerdict.UNDECIDED if self.high > threshold else SpeedVerdict.FINE

    def detects(self, threshold: float) -> float:
        """The smallest true ratio that would be found beyond the threshold about 19
        times of 20, with as many pairs.
        """
        quantiles = NORMAL.inv_cdf((1 + LEVEL) / 2) + NORMAL.inv_cdf(POWER)
        return threshold * math.exp(VARYING * quantiles * self.error)

    def pairs_needed(self, threshold: float) -> int | None:
        """How many pairs would leave the threshold outside the interval, should the
        ratio stay what it is.

        None where it is so near the threshold that a hundred times as many might not.
        """
        distance = abs(math.log(self.ratio / threshold))
        half = max(math.log(self.high / self.ratio), math.log(self.ratio / self.low))
        if distance * 10 <= half:
            return None
        return max(self.pairs + 1, math.ceil(self.pairs * (half / distance) ** 2))


def trimmed_mean(values: Sequence[float], share: float = TRIMMED) -> float:
    """The mean without that share of the smallest and of the largest values. Raises
    ValueError for no values.
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
    """Compare two series of generations, each the rounds of one process; the n-th
    rounds of both are a pair.

    The same input always gives the same interval: the random generator is seeded.

    Raises:
        ValueError: the series differ in shape, hold a value that is not above 0, or are
            too few pairs.
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
    # With few pairs a percentile may fall short of the estimate itself.
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
    """The share to leave out at each end, so that an interval of few pairs covers as
    often as one of many.
    """
    freedom = pairs - 1
    z = NORMAL.inv_cdf((1 + LEVEL) / 2)
    # Student's quantile from the normal one: Cornish and Fisher, good to a few
    # thousandths from 4 degrees on.
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
