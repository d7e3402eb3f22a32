"""Metrics against values worked out by hand."""

import numpy as np
import pytest

from models.cascades.windows import Window, eligible, labels
from models.data.datasets import ROOT, Cascade
from models.interface import LEVELS, Increments
from models.judging import metrics


def cascade(delays: list[float], published_at: float = 0.0) -> Cascade:
    parents = np.array([ROOT] + [0] * (len(delays) - 1), np.int32)
    users = [str(index) for index in range(len(delays))]
    return Cascade("c", "0", published_at, users, parents, np.array(delays))


def test_msle_is_of_log2_of_one_more() -> None:
    assert metrics.msle([0, 7], [1, 1]) == pytest.approx((1 + 4) / 2)


def test_mape_is_relative_to_log2_of_two_more() -> None:
    # |log2 4 - log2 2| / log2 2 and |log2 8 - log2 16| / log2 16.
    assert metrics.mape([2, 6], [0, 14]) == pytest.approx((1 + 0.25) / 2)


def test_coverage_counts_the_bounds_as_inside() -> None:
    assert metrics.coverage([0, 2, 5, 3], [1, 4, 6, 9], [1, 2, 4, 10]) == 0.5


def test_pinball_weighs_misses_by_their_level() -> None:
    # All quantiles are 1. An increment of 3 is log2(4) = 2: above all by 1, which costs the level;
    # one of 0 is below all by 1, which costs what the level lacks to 1.
    quantiles = np.ones((2, len(LEVELS)))
    expected = (LEVELS.mean() + (1 - LEVELS).mean()) / 2
    assert metrics.pinball(quantiles, [3, 0]) == pytest.approx(expected)
    assert metrics.pinball(quantiles[:1], [3]) == pytest.approx(LEVELS.mean())
    assert metrics.pinball(quantiles, [1, 1]) == 0


def test_eligible_have_ten_events_and_a_horizon_inside_the_recording() -> None:
    window = Window(60.0, 600.0)
    ten = [float(second) for second in range(10)]
    enough = cascade([*ten, 700.0], published_at=400.0)
    at_the_end = cascade([*ten[:9], 60.0], published_at=400.0)
    too_few = cascade([*ten[:9], 61.0], published_at=400.0)
    too_late = cascade(ten, published_at=400.5)
    found = eligible([enough, at_the_end, too_few, too_late], window, 1_000.0)
    assert found == [enough, at_the_end]


def test_labels_are_the_events_between_observation_and_horizon() -> None:
    assert labels([cascade([0, 10, 60, 61, 600, 601])], Window(60.0, 600.0)).tolist() == [2]


def test_a_forecast_is_measured_by_its_log_mean_and_its_quantiles() -> None:
    quantiles = np.array([[0.0, 0.5, 1.0, 1.5, 2.0], [1.0, 2.0, 3.0, 4.0, 5.0]])
    forecast = Increments(
        quantiles=quantiles[:, None],
        expected=np.array([[2.0], [10.0]]),
        log_mean=np.array([[1.0], [3.0]]),
    )
    found = metrics.measure(forecast, np.array([3, 63]))
    assert found["n"] == 2
    assert found["msle"] == pytest.approx((1 + 9) / 2)
    assert found["mape"] == pytest.approx(metrics.mape([1, 7], [3, 63]))
    assert found["coverage_90"] == 0.5
    assert found["pinball"] == pytest.approx(metrics.pinball(quantiles, [3, 63]))
    assert found["expected_ratio"] == pytest.approx(12 / 66)


def test_a_quantile_that_is_a_whole_number_of_events_holds_it() -> None:
    three = np.log2(1 + np.array([[[1, 1, 2, 3, 3]]], np.float64)) - 1e-12
    forecast = Increments(three, np.array([[2.0]]), np.array([[1.0]]))
    assert metrics.measure(forecast, np.array([3]))["coverage_90"] == 1
