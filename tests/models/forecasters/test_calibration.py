"""Corrections found on a validation part: three quarters of the bias, and stretches that hold."""

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from models.cascades.batch import Batch, gather
from models.cascades.observations import FEW_EVENTS, Observations, end_of
from models.cascades.recordings import Source
from models.data.datasets import ROOT, Cascade, snapshot_at
from models.forecasters.calibration import Calibration, calibrate, conformal_stretches, held_out
from models.interface import LEVELS, Forecaster, Increments
from tests.models.recorded import made

DEVIATES = np.array([-1.645, -0.674, 0, 0.674, 1.645])


class Constant(Forecaster):
    """The same normal distribution whatever is asked."""

    name = "constant"
    version = "0"

    def forecast_batch(self, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
        mean = np.full(horizons.shape, 8.0)
        return Increments(mean[..., None] + DEVIATES, np.exp2(mean), mean)


POST = Cascade("c", "u", 1.5e9, ["u"], np.array([ROOT], np.int32), np.zeros(1))


def observed(bias: NDArray[np.float64], seed: int = 0) -> Observations:
    """Observations whose log2(1 + increment) is normal, `bias` off 8, shape (n,)."""
    rng = np.random.default_rng(seed)
    n = len(bias)
    ages = np.exp(rng.uniform(np.log(300), np.log(86_400), n))
    targets = 8 + bias + rng.normal(0, 1, n)
    return Observations(
        batch=gather([snapshot_at(POST, age) for age in ages]),
        horizons=(ages * 4)[:, None],
        increments=np.round(np.exp2(targets) - 1).astype(np.int64)[:, None],
        weights=np.ones(n),
    )


def test_stretches_make_quantiles_hold() -> None:
    targets = np.random.default_rng(0).normal(8, 1.5, 20_000)
    # Quantiles of a normal distribution two thirds as wide as the truth.
    raw = np.tile(8 + DEVIATES, (20_000, 1))
    stretches = conformal_stretches(raw, targets, np.ones(20_000))
    assert stretches == pytest.approx([1.5, 1.5, 1, 1.5, 1.5], abs=0.05)


@pytest.mark.parametrize("bias", [-1.0, 0.0, 1.0])
def test_three_quarters_of_the_bias_are_corrected(bias: float) -> None:
    seen = observed(np.full(4_000, bias))
    found = calibrate(Constant(), [seen])
    mean = np.full(seen.horizons.shape, 8.0)
    corrected, _ = found.apply(mean, mean[..., None] + DEVIATES, seen.batch, seen.horizons)
    assert corrected.mean() - 8 == pytest.approx(0.75 * bias, abs=0.05)


def test_a_bias_that_grows_with_the_age_is_corrected_where_it_is() -> None:
    ages = observed(np.zeros(6_000)).batch.ages
    bias = np.where(ages > 5_000, 1.0, -1.0)
    found = calibrate(Constant(), [observed(bias)])
    mean = np.full((2, 1), 8.0)
    moments = np.array([300.0, 80_000.0])
    asked = gather([snapshot_at(POST, age) for age in moments])
    corrected, _ = found.apply(mean, mean[..., None] + DEVIATES, asked, moments[:, None] * 4)
    assert corrected[0, 0] < 7.7
    assert corrected[1, 0] > 8.3


def test_a_bias_that_grows_with_the_count_is_corrected_where_it_is() -> None:
    def of_counts(counts: NDArray[np.int64], seen: Observations) -> Observations:
        return seen._replace(batch=seen.batch._replace(counts=counts))

    counts = np.exp2(np.random.default_rng(1).uniform(4, 9, 6_000)).astype(np.int64)
    found = calibrate(Constant(), [of_counts(counts, observed(np.log2(counts) - 6.5))])
    asked = np.array([1, FEW_EVENTS, 90, 512, 1_024, 1_000_000])
    seen = of_counts(asked, observed(np.zeros(len(asked))))
    mean = np.full(seen.horizons.shape, 8.0)
    shift = found.apply(mean, mean[..., None] + DEVIATES, seen.batch, seen.horizons)[0] - 8
    assert shift[:, 0] == pytest.approx(
        [shift[1, 0], 0.75 * (np.log2(FEW_EVENTS) - 6.5), 0, 0.75 * 2.5, 0.75 * 3.5, shift[4, 0]],
        abs=0.1,
    )


def test_a_version_from_before_the_count_was_a_term_is_applied_without_it() -> None:
    seen = observed(np.zeros(1))
    mean = np.full((1, 1), 8.0)
    for shift in [(0.5, 0.2, 0.1), (0.5, 0.2, 0.1, 0.0)]:
        told = msgspec.json.encode({"shift": shift})
        found = msgspec.json.decode(told, type=Calibration)
        moved = found.apply(mean, mean[..., None] + DEVIATES, seen.batch, seen.horizons)
        age, span = seen.batch.ages[0], seen.batch.ages[0] * 3
        expected = 0.5 + 0.2 * (np.log2(1 + age) - 12) / 4 + 0.1 * (np.log2(1 + span) - 16) / 4
        assert moved[0][0, 0] - 8 == pytest.approx(expected)


def test_stretches_lie_between_what_holds_on_average_and_what_holds_in_each_source() -> None:
    calm, wild = observed(np.zeros(4_000)), observed(np.zeros(4_000))
    spread = 3 * (np.log2(1 + wild.increments) - 8)
    wild = wild._replace(increments=np.exp2(np.clip(8 + spread, 0, 40)).astype(np.int64) - 1)
    alone = [calibrate(Constant(), [seen], shifts=False).old[-1] for seen in (calm, wild)]
    assert alone[0] == pytest.approx(1.0, abs=0.1) and alone[1] == pytest.approx(3.0, abs=0.2)
    together = calibrate(Constant(), [calm, wild], shifts=False).old[-1]
    # Of both together the twentieth that lies highest is a tenth of the wild one.
    assert together == pytest.approx((3.0 + 3.0 * 1.2816 / 1.645) / 2, abs=0.15)


def test_without_shifts_only_the_spread_is_corrected() -> None:
    found = calibrate(Constant(), [observed(np.full(4_000, 0.5))], shifts=False)
    assert found.shift == (0.0,) * 4
    assert found.young[-1] > 1.2 > 0.9 > found.young[0]


def test_no_calibration_changes_nothing() -> None:
    mean = np.array([[3.0, 4.0]])
    quantiles = mean[..., None] + DEVIATES
    asked = gather([snapshot_at(POST, 60.0)])
    same = Calibration().apply(mean, quantiles, asked, np.array([[100.0, 900.0]]))
    np.testing.assert_array_equal(same[0], mean)
    np.testing.assert_allclose(same[1], quantiles)
    assert same[1].shape == (1, 2, len(LEVELS))


def test_observations_of_few_events_weigh_nothing_unless_all_are() -> None:
    cascades = made(30)
    assert max(map(len, cascades)) > FEW_EVENTS
    [seen] = held_out([Source("all", [], cascades, end_of(cascades), share=2.0)])
    few = seen.batch.counts < FEW_EVENTS
    assert few.any()
    assert (seen.weights[few] == 0).all()
    assert (seen.weights[~few] > 0).all()
    small = [cascade for cascade in cascades if len(cascade) < FEW_EVENTS]
    assert small
    [seen] = held_out([Source("small", [], small, end_of(cascades))])
    assert (seen.weights > 0).all()
