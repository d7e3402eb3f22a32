"""Corrections: the point follows a drift, and each end is missed as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from models.judging.conformal import (
    AGE_BUCKETS,
    AGE_EDGES,
    LEVEL,
    MEMORY,
    NARROWEST,
    PRIOR,
    STEP,
    WIDEST,
    Tracked,
    age_bucket,
    correct,
)


def follow(realised: np.ndarray, low: float, high: float) -> tuple[Tracked, np.ndarray, np.ndarray]:
    """The corrections after outcomes, each forecast with those of before it; what was missed."""
    tracked = Tracked()
    below, above = [], []
    for value in realised:
        below.append(value < max(low + tracked.shift - tracked.lower, 0.0))
        above.append(value > max(high + tracked.shift, 0.0) + tracked.upper)
        tracked.update(value, (low + high) / 2, low, high, not (below[-1] or above[-1]))
    return tracked, np.array(below), np.array(above)


@pytest.mark.parametrize("shift", [-0.9, 0.0, 0.9])
def test_each_end_is_missed_as_often_as_it_says(shift: float) -> None:
    generator = np.random.default_rng(3)
    realised = np.maximum(generator.normal(5 + shift, 1, 6_000), 0)
    _, below, above = follow(realised, 5 - 1.645, 5 + 1.645)
    assert below[2_000:].mean() == pytest.approx(LEVEL, abs=0.02)
    assert above[2_000:].mean() == pytest.approx(LEVEL, abs=0.02)


def test_coverage_holds_through_a_drift_where_it_would_be_lost() -> None:
    generator = np.random.default_rng(4)
    realised = np.maximum(generator.normal(5, 1, 4_000) - 1.5 * (np.arange(4_000) >= 2_000), 0)
    _, below, above = follow(realised, 5 - 1.645, 5 + 1.645)
    covered = ~(below | above)
    own = np.abs(realised - 5) <= 1.645
    assert own[2_000:].mean() < 0.65
    assert 0.85 <= covered[:2_000].mean() <= 0.95
    assert 0.85 <= covered[2_000:].mean() <= 0.95


def test_the_long_run_bound_of_the_paper_holds_for_any_sequence() -> None:
    """|share missed - level| <= (range + step) / (step n): the corrections telescope."""
    generator = np.random.default_rng(5)
    realised = np.cumsum(generator.normal(0, 0.3, 3_000))
    realised = np.abs(realised) % 6
    _, _, above = follow(realised, 0.0, 2.0)
    assert abs(above.mean() - LEVEL) <= (WIDEST - NARROWEST + STEP) / (STEP * 3_000)


def test_corrections_stay_within_bounds() -> None:
    inside, _, _ = follow(np.full(5_000, 3.0), 2.0, 4.0)
    assert inside.lower == inside.upper == NARROWEST
    outside, _, _ = follow(np.full(5_000, 30.0), 2.0, 4.0)
    assert outside.shift == WIDEST
    assert outside.upper == WIDEST


def test_the_shift_is_the_mean_error_held_at_none_by_the_prior() -> None:
    tracked = Tracked()
    for scores in range(1, MEMORY + 1):
        tracked.update(5.0, 4.0, 3.0, 5.5, True)
        if scores in (1, PRIOR, MEMORY):
            # A mean of so many errors of 1 and PRIOR errors of 0, weighed alike.
            assert tracked.shift == pytest.approx(scores / (scores + PRIOR))


def test_the_shift_finds_a_drift_and_forgets_one() -> None:
    generator = np.random.default_rng(6)
    drift = np.where(np.arange(3_000) < 1_500, -1.2, 0.4)
    tracked, shifts = Tracked(), []
    for value in 5 + drift + generator.normal(0, 1, 3_000):
        tracked.update(value, 5.0, 3.4, 6.6, True)
        shifts.append(tracked.shift)
    assert np.mean(shifts[500:1_500]) == pytest.approx(-1.2, abs=0.1)
    assert np.mean(shifts[2_500:]) == pytest.approx(0.4, abs=0.1)


def test_a_drift_is_corrected_once_however_late_its_outcomes_come() -> None:
    """What was forecast before the first outcome erred by the drift a hundred times over."""
    tracked = Tracked()
    for _ in range(1_000):
        tracked.update(6.0, 4.0, 3.0, 5.0, False)
    assert tracked.shift == pytest.approx(2.0, abs=0.05)


def test_coverages_are_of_the_latest_scores() -> None:
    tracked = Tracked()
    for inside in [True] * 10 + [False] * 10:
        tracked.update(3.0, 3.0, 2.0, 4.0, inside)
    assert tracked.coverage == pytest.approx(0.5)
    assert tracked.own_coverage == 1.0
    for _ in range(5_000):
        tracked.update(9.0, 3.0, 2.0, 4.0, True)
    assert tracked.coverage == pytest.approx(1.0, abs=1e-3)
    assert tracked.own_coverage == pytest.approx(0.0, abs=1e-3)


def test_buckets_by_age() -> None:
    assert len(AGE_BUCKETS) == len(AGE_EDGES) + 1
    ages = [0.0, 899.9, 900.0, 3_600.0, 14_399.0, 86_400.0, 1e7]
    names = [age_bucket(age) for age in ages]
    assert names == [AGE_BUCKETS[at] for at in (0, 0, 1, 2, 2, 4, 4)]


def test_an_end_that_is_moved_in_stops_at_the_median() -> None:
    own = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    inwards, none = np.array(-5.0), np.array(0.0)
    assert correct(own, none, none, inwards).tolist() == [1.0, 2.0, 3.0, 3.0, 3.0]
    assert correct(own, none, inwards, none).tolist() == [3.0, 3.0, 3.0, 4.0, 5.0]


def test_quantiles_are_shifted_the_way_that_the_shift_says() -> None:
    own, none = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array(0.0)
    assert correct(own, np.array(0.5), none, none).tolist() == [1.5, 2.5, 3.5, 4.5, 5.5]
    assert correct(own, np.array(-2.5), none, none).tolist() == [0.0, 0.0, 0.5, 1.5, 2.5]
