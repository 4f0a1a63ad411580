"""The statistics are right even with the noise of a shared machine: heavy tails,
bursts, and differences between processes.
"""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings, strategies as st

from lake_ci.checks.performance.statistics import (
    Interval,
    SpeedVerdict,
    compare,
    trimmed_mean,
)

GENERATIONS, ROUNDS = 4, 6
THRESHOLD = 1.15
Series = list[list[float]]


def measured(
    dice: random.Random,
    ratio: float,
    *,
    noise: float = 0.03,
    bursts: float = 0.05,
    process: float = 0.01,
    generations: int = GENERATIONS,
    rounds: int = ROUNDS,
) -> tuple[Series, Series]:
    """Return the rounds of the old and the new version, with simulated noise. Each
    round has some noise, and some rounds take up to three times as long. In addition,
    both versions share a random drift, and each process has its own speed.
    """
    sides: tuple[Series, Series] = ([], [])
    for _ in range(generations):
        drift = [1 + 0.5 * dice.random() for _ in range(rounds)]
        for side, true in zip(sides, (1.0, ratio)):
            uneven = math.exp(dice.gauss(0, process))
            side.append(
                [
                    true * uneven * shared * math.exp(dice.gauss(0, noise))
                    # A burst can only make a program slower. The factor of bursts has a
                    # Pareto distribution, whose tail is so heavy that it has almost no
                    # mean.
                    * (
                        min(3.0, dice.paretovariate(1.2))
                        if dice.random() < bursts
                        else 1.0
                    )
                    for shared in drift
                ]
            )
    return sides


def shares(
    ratio: float, trials: int, *, noise: float = 0.03, bursts: float = 0.05
) -> dict[SpeedVerdict, float]:
    """Return the share of each verdict in `trials` simulated comparisons."""
    dice = random.Random(7)
    verdicts = [
        compare(
            *measured(dice, ratio, noise=noise, bursts=bursts), resamples=300
        ).verdict(THRESHOLD)
        for _ in range(trials)
    ]
    return {verdict: verdicts.count(verdict) / trials for verdict in SpeedVerdict}


def test_same_code_never_fails_on_a_noisy_machine() -> None:
    assert shares(1.0, 400)[SpeedVerdict.SLOWER] == 0.0


def test_same_code_hardly_ever_fails_with_bursts_and_threefold_noise() -> None:
    assert shares(1.0, 400, noise=0.15, bursts=0.2)[SpeedVerdict.SLOWER] <= 0.005


def test_ratio_at_the_threshold_rarely_fails() -> None:
    assert shares(THRESHOLD, 400)[SpeedVerdict.SLOWER] <= 0.05


def test_a_third_slower_is_found_nineteen_times_of_twenty() -> None:
    assert shares(1.3, 200)[SpeedVerdict.SLOWER] >= 0.95


@pytest.mark.parametrize("process", [0.0, 0.02])
def test_the_interval_covers_the_truth_as_often_as_it_says(process: float) -> None:
    dice = random.Random(3)
    found = [
        compare(*measured(dice, 1.1, process=process), resamples=300)
        for _ in range(300)
    ]
    assert sum(each.low <= 1.1 <= each.high for each in found) / len(found) >= 0.92


def test_a_slowdown_of_the_size_that_is_said_to_be_detected_is_detected() -> None:
    dice = random.Random(5)
    detects = sorted(
        compare(*measured(dice, 1.0), resamples=300).detects(THRESHOLD)
        for _ in range(50)
    )[25]
    assert 1.15 < detects < 1.4
    assert shares(detects, 200)[SpeedVerdict.SLOWER] >= 0.9


def test_a_drift_of_the_machine_that_both_feel_leaves_no_trace() -> None:
    slower_and_slower = [[1.0 * 1.5**turn for turn in range(6)]]
    found = compare(slower_and_slower, [[each * 1.2 for each in slower_and_slower[0]]])
    assert (found.ratio, found.low, found.high) == pytest.approx((1.2, 1.2, 1.2))


def test_one_wild_round_moves_nothing() -> None:
    old, new = [[1.0] * 10], [[1.1] * 9 + [60.0]]
    assert compare(old, new).ratio == pytest.approx(1.1)


def test_the_same_rounds_give_the_same_interval() -> None:
    rounds = measured(random.Random(1), 1.0)
    assert compare(*rounds) == compare(*rounds)


@settings(max_examples=30)
@given(
    st.lists(
        st.lists(st.tuples(*[st.floats(1e-4, 1e4)] * 2), min_size=3, max_size=5),
        min_size=2,
        max_size=4,
    ),
    st.floats(1e-3, 1e3),
)
def test_the_unit_of_time_does_not_matter_and_the_estimate_lies_inside(
    pairs: list[list[tuple[float, float]]], unit: float
) -> None:
    old, new = ([[pair[side] for pair in each] for each in pairs] for side in (0, 1))
    found = compare(old, new, resamples=50)
    other = compare(
        [[each * unit for each in turn] for turn in old],
        [[each * unit for each in turn] for turn in new],
        resamples=50,
    )
    assert found.low <= found.ratio <= found.high
    assert (other.ratio, other.low, other.high) == pytest.approx(
        (found.ratio, found.low, found.high), rel=1e-6
    )


def test_fewer_than_five_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="4 pairs, at least 5"):
        compare([[1.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]])


def test_rounds_without_a_partner_are_refused() -> None:
    with pytest.raises(ValueError):
        compare([[1.0] * 6], [[1.0] * 5])


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.16, 1.4, SpeedVerdict.SLOWER),
        (0.9, 1.15, SpeedVerdict.FINE),
        (1.15, 1.2, SpeedVerdict.UNDECIDED),
    ],
)
def test_only_a_whole_interval_beyond_the_threshold_is_slower(
    low: float, high: float, verdict: SpeedVerdict
) -> None:
    assert Interval(math.sqrt(low * high), low, high, 16).verdict(THRESHOLD) is verdict


def test_says_how_many_pairs_would_tell() -> None:
    half_as_far = Interval(1.15 / 1.1, 1.15 / 1.1 / 1.21, 1.15 / 1.1 * 1.21, 16)
    assert half_as_far.pairs_needed(THRESHOLD) == 64
    assert Interval(1.15, 1.05, 1.25, 16).pairs_needed(THRESHOLD) is None
    assert Interval(1.14, 1.13, 1.151, 16).pairs_needed(THRESHOLD) == 20


def test_a_narrower_interval_detects_less() -> None:
    wide, narrow = (Interval(1.0, 1 / width, width, 16) for width in (1.1, 1.02))
    assert wide.half_width == pytest.approx(0.1)
    assert THRESHOLD < narrow.detects(THRESHOLD) < wide.detects(THRESHOLD)


def test_the_mean_of_the_middle() -> None:
    assert trimmed_mean([100.0, 1.0, 2.0, 3.0, -100.0]) == 2.0
    assert trimmed_mean([1.0, 3.0]) == 2.0
    with pytest.raises(ValueError, match="no values"):
        trimmed_mean([])
