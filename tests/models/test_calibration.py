"""Corrections found on a validation part: half of the bias, and stretches that hold."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.batch import Batch, gather
from models.calibration import Calibration, calibrate, conformal_stretches, held_out
from models.datasets import ROOT, Cascade, snapshot_at
from models.interface import LEVELS, Forecaster, Increments
from models.observations import FEW_EVENTS, Observations, end_of
from models.recipes import Source
from tests.models.recorded import made

DEVIATES = np.array([-1.645, -0.674, 0, 0.674, 1.645])


class Constant(Forecaster):
    """The same normal distribution whatever is asked."""

    name = "constant"
    version = "0"

    def forecast_batch(self, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
        mean = np.full(horizons.shape, 8.0)
        return Increments(mean[..., None] + DEVIATES, np.exp2(mean), mean)


def observed(bias: NDArray[np.float64], seed: int = 0) -> Observations:
    """Observations whose log2(1 + increment) is normal, `bias` off 8, shape (n,)."""
    rng = np.random.default_rng(seed)
    n = len(bias)
    ages = np.exp(rng.uniform(np.log(300), np.log(86_400), n))
    post = Cascade("c", "u", 1.5e9, ["u"], np.array([ROOT], np.int32), np.zeros(1))
    targets = 8 + bias + rng.normal(0, 1, n)
    return Observations(
        batch=gather([snapshot_at(post, age) for age in ages]),
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
def test_half_of_the_bias_is_corrected(bias: float) -> None:
    seen = observed(np.full(4_000, bias))
    found = calibrate(Constant(), [seen])
    mean = np.full(seen.horizons.shape, 8.0)
    corrected, _ = found.apply(mean, mean[..., None] + DEVIATES, seen.batch.ages, seen.horizons)
    assert corrected.mean() - 8 == pytest.approx(bias / 2, abs=0.05)


def test_a_bias_that_grows_with_the_age_is_corrected_where_it_is() -> None:
    ages = observed(np.zeros(6_000)).batch.ages
    bias = np.where(ages > 5_000, 1.0, -1.0)
    found = calibrate(Constant(), [observed(bias)])
    mean = np.full((2, 1), 8.0)
    moments = np.array([300.0, 80_000.0])
    corrected, _ = found.apply(mean, mean[..., None] + DEVIATES, moments, moments[:, None] * 4)
    assert corrected[0, 0] < 7.7
    assert corrected[1, 0] > 8.3


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
    assert found.shift == (0.0, 0.0, 0.0)
    assert found.young[-1] > 1.2 > 0.9 > found.young[0]


def test_no_calibration_changes_nothing() -> None:
    mean = np.array([[3.0, 4.0]])
    quantiles = mean[..., None] + DEVIATES
    same = Calibration().apply(mean, quantiles, np.array([60.0]), np.array([[100.0, 900.0]]))
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
