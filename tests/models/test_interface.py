"""What every forecaster must do, run over each that ships."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models import registry
from models.data.datasets import ROOT, Cascade, snapshot_at
from models.interface import LEVELS, Forecaster, Increments
from tests.models.strategies import cascades
from topics.records import CascadeSnapshot

HORIZONS = np.array([3_600.0, 14_400.0, 86_400.0, 172_800.0])
# The model is made once and asked often.
MANY = settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module", params=registry.list_forecasters())
def model(request: pytest.FixtureRequest) -> Forecaster:
    return registry.load(request.param)


def check(forecast: Increments, snapshots: int, horizons: int) -> None:
    assert forecast.quantiles.shape == (snapshots, horizons, len(LEVELS))
    assert forecast.expected.shape == forecast.log_mean.shape == (snapshots, horizons)
    assert forecast.quantiles.dtype == forecast.expected.dtype == np.float64
    assert np.isfinite(forecast.quantiles).all()
    assert np.isfinite(forecast.expected).all()
    assert np.isfinite(forecast.log_mean).all()
    assert (forecast.log_mean >= 0).all()
    assert (forecast.quantiles >= 0).all()
    assert (forecast.expected >= 0).all()
    assert (np.diff(forecast.quantiles, axis=2) >= 0).all()
    assert (np.diff(forecast.quantiles, axis=1) >= 0).all(), "fewer events at a later horizon"


def same(model: Forecaster, got: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    """The same to the bit; where a library's matrix products decide, nearly."""
    tolerance = 1e-4 if model.name == "casft" else 0.0
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def star(events: int, gap: float) -> Cascade:
    parents = np.array([ROOT] + [0] * (events - 1), np.int32)
    users = [f"u{index}" for index in range(events)]
    return Cascade("star", "u0", 1.6e9, users, parents, np.arange(events) * gap)


@MANY
@given(st.lists(cascades(), max_size=4), st.floats(0, 3e5), st.integers(1, 600))
def test_quantiles_ascend_and_nothing_is_negative(
    model: Forecaster, batch: list[Cascade], age: float, max_events: int
) -> None:
    snapshots = [snapshot_at(cascade, age, max_events) for cascade in batch]
    check(model.forecast(snapshots, HORIZONS), len(batch), len(HORIZONS))


@MANY
@given(st.lists(cascades(), min_size=2, max_size=4), st.floats(0, 2e5))
def test_an_answer_does_not_depend_on_the_rest_of_the_batch(
    model: Forecaster, batch: list[Cascade], age: float
) -> None:
    snapshots = [snapshot_at(cascade, age) for cascade in batch]
    together = model.forecast(snapshots, HORIZONS)
    for order in itertools.islice(itertools.permutations(range(len(batch))), 3):
        shuffled = model.forecast([snapshots[i] for i in order], HORIZONS)
        same(model, shuffled.quantiles, together.quantiles[list(order)])
        same(model, shuffled.log_mean, together.log_mean[list(order)])
    for index, snapshot in enumerate(snapshots):
        alone = model.forecast([snapshot], HORIZONS)
        same(model, alone.quantiles[0], together.quantiles[index])
        same(model, alone.log_mean[0], together.log_mean[index])
        same(model, alone.expected[0], together.expected[index])


@MANY
@given(cascades(), st.floats(0, 1e5))
def test_an_answer_does_not_depend_on_the_other_horizons(
    model: Forecaster, cascade: Cascade, age: float
) -> None:
    snapshot = snapshot_at(cascade, age)
    first, last = (
        model.forecast([snapshot], chosen) for chosen in (HORIZONS[:1], HORIZONS[[0, 3]])
    )
    same(model, last.quantiles[:, :1], first.quantiles)
    same(model, last.log_mean[:, :1], first.log_mean)


def test_a_horizon_that_is_not_after_the_snapshot_gives_nothing(model: Forecaster) -> None:
    forecast = model.forecast([snapshot_at(star(50, 60), 14_400.0)], HORIZONS)
    assert (forecast.quantiles[0, :2] == 0).all()
    assert (forecast.expected[0, :2] == 0).all()
    assert (forecast.quantiles[0, 2:, -1] > 0).all()


def test_an_empty_batch_and_no_horizons_give_empty_answers(model: Forecaster) -> None:
    check(model.forecast([], HORIZONS), 0, len(HORIZONS))
    check(model.forecast([snapshot_at(star(3, 1), 60)], np.empty(0)), 1, 0)


@pytest.mark.parametrize("age", [0.0, 2e-309, 1.0, 300.0, 86_400.0])
def test_a_root_alone_is_answered(model: Forecaster, age: float) -> None:
    check(model.forecast([snapshot_at(star(1, 0), age)], HORIZONS), 1, len(HORIZONS))


def test_ten_events_at_the_very_moment_of_publication_are_answered(model: Forecaster) -> None:
    check(model.forecast([snapshot_at(star(10, 0), 0.0)], HORIZONS), 1, len(HORIZONS))


def test_an_event_that_rounding_puts_after_the_age_is_answered(model: Forecaster) -> None:
    age = 1_000_000.05
    snapshot = snapshot_at(star(2, age), age)
    assert float(snapshot.delays()[-1]) > age
    check(model.forecast([snapshot], np.array([2e6])), 1, 1)


def test_a_cascade_without_its_root_is_answered(model: Forecaster) -> None:
    whole = snapshot_at(star(20, 30), 3_600.0)
    orphan = CascadeSnapshot(
        **{name: getattr(whole, name) for name in whole.__struct_fields__}
        | {"rooted": False, "parent": np.full(20, -2, "<i4").tobytes()}
    )
    check(model.forecast([orphan], HORIZONS), 1, len(HORIZONS))


def test_a_huge_cascade_is_answered_and_its_uncounted_rest_matters(model: Forecaster) -> None:
    huge = star(200_000, 0.01)
    summarised = snapshot_at(huge, 1_800.0, 512)
    assert summarised.rest_counts().sum() == summarised.observed_count - 512 > 100_000
    forecast = model.forecast([summarised], HORIZONS)
    check(forecast, 1, len(HORIZONS))
    truncated = snapshot_at(star(512, 0.01), 1_800.0)
    assert forecast.expected[0, 2] > 2 * model.forecast([truncated], HORIZONS).expected[0, 2]


def test_a_summary_is_answered_much_as_what_it_sums_up(model: Forecaster) -> None:
    cascade = star(2_000, 0.9)
    exact = model.forecast([snapshot_at(cascade, 1_800.0, 5_000)], HORIZONS)
    summary = model.forecast([snapshot_at(cascade, 1_800.0, 512)], HORIZONS)
    np.testing.assert_allclose(summary.quantiles, exact.quantiles, atol=1.0)


@pytest.mark.parametrize("events", [10, 100, 1_000])
def test_a_burst_promises_more_than_a_stale_cascade(model: Forecaster, events: int) -> None:
    fresh = snapshot_at(star(events, 1_800 / events), 1_800.0)
    stale = snapshot_at(star(events, 1_800 / events), 43_200.0)
    ahead = np.array([86_400.0])
    assert (
        model.forecast([fresh], ahead).quantiles[0, 0, 2]
        > model.forecast([stale], ahead).quantiles[0, 0, 2]
    )
