"""Corrections: the latest record of a version moves its points and intervals, and says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from models.interface import Increments
from models.judging.conformal import correct
from stream.forecaster.batch import ForecastBatch
from stream.forecaster.corrections import Corrections
from stream.serving.loading import load
from stream.settings import Settings
from stream.workers.agents import Received
from topics.catalogue import CASCADE_SNAPSHOTS, MODEL_CALIBRATION, POPULARITY_FORECASTS
from topics.records import CascadeSnapshot, Correction, ModelCalibration, PopularityForecast

SETTINGS = Settings()
HORIZONS = np.array(SETTINGS.horizons, float)


def record(**changes: Any) -> ModelCalibration:
    fields: dict[str, Any] = {
        "model": "seismic", "model_version": "1", "horizon": float(HORIZONS[1]),
        "age_bucket": "under 15m", "correction": 1.5, "coverage": 0.9, "sample_size": 40,
        "lower_correction": 0.5,
    }  # fmt: skip
    return ModelCalibration(**(fields | changes))


def increments(rows: int) -> Increments:
    quantiles = np.tile(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), (rows, len(HORIZONS), 1))
    ones = np.ones((rows, len(HORIZONS)))
    return Increments(quantiles, ones, ones)


def test_only_its_version_horizon_and_age_are_corrected() -> None:
    corrections = Corrections(HORIZONS)
    corrections.take(record(horizon=HORIZONS[3]))
    ages = np.array([300.0, 900.0])
    corrected, sizes = corrections.apply("seismic", "1", ages, increments(2))
    assert sizes is not None and sizes.tolist() == [[0, 0, 0, 40], [0, 0, 0, 0]]
    # The lower end would be at 0.5, but does not fall below that of the horizon before.
    assert corrected.quantiles[0, 3].tolist() == [1.0, 2.0, 3.0, 4.0, 6.5]
    untouched = corrected.quantiles.copy()
    untouched[0, 3] = [1, 2, 3, 4, 5]
    assert (untouched == increments(2).quantiles).all()
    assert (corrected.log_mean == 1).all() and (corrected.expected == 1).all()
    same, none = corrections.apply("seismic", "2", ages, increments(2))
    assert (same.quantiles == increments(2).quantiles).all() and none is None


def test_a_shift_moves_point_and_quantiles_and_the_ends_move_on_from_there() -> None:
    corrections = Corrections(HORIZONS)
    corrections.take(record(horizon=HORIZONS[3], shift=0.75))
    corrected, _ = corrections.apply("seismic", "1", np.array([300.0]), increments(1))
    assert corrected.quantiles[0, 3].tolist() == [1.25, 2.75, 3.75, 4.75, 7.25]
    assert corrected.log_mean[0].tolist() == [1, 1, 1, 1.75]
    assert corrected.expected[0].tolist() == [1, 1, 1, pytest.approx(2 * 2**0.75 - 1)]


def test_what_is_corrected_grows_with_the_horizon_and_is_nothing_at_horizons_past() -> None:
    corrections = Corrections(HORIZONS)
    corrections.take(record(horizon=HORIZONS[1], age_bucket="4h to 24h", shift=2.0))
    corrections.take(record(horizon=HORIZONS[3], age_bucket="4h to 24h", shift=-5.0))
    age = np.array([20_000.0])
    past = age >= HORIZONS
    assert past.sum() == 2
    own = increments(1)
    own = Increments(
        np.where(past[:, None], 0.0, own.quantiles), np.where(past, 0.0, own.expected),
        np.where(past, 0.0, own.log_mean),
    )  # fmt: skip
    corrected, _ = corrections.apply("seismic", "1", age, own)
    for values in (corrected.quantiles[0], corrected.expected[0], corrected.log_mean[0]):
        assert (values[past] == 0).all()
        assert (np.diff(values, axis=0) >= 0).all()
    assert corrected.log_mean[0, 3] == corrected.log_mean[0, 2] == 1


def test_the_latest_record_counts_and_what_cannot_be_used_changes_nothing() -> None:
    corrections = Corrections(HORIZONS)
    values = [MODEL_CALIBRATION.codec.encode(each) for each in (
        record(correction=9.0), record(sample_size=41), record(horizon=7.0),
        record(age_bucket="ancient"))]  # fmt: skip
    messages: Any = [SimpleNamespace(value=v, partition=0, offset=0) for v in (*values, b"{", None)]
    corrections.take_in(messages)
    corrected, sizes = corrections.apply("seismic", "1", np.array([300.0]), increments(1))
    assert sizes is not None and sizes[0, 1] == 41
    assert corrected.quantiles[0, 1, -1] == 6.5


@pytest.mark.parametrize(("lower", "upper"), [(1.0, 2.0), (-1.5, -1.5), (-9.0, -9.0), (9.0, -9.0)])
@pytest.mark.parametrize("shift", [0.0, -1.0, 2.0])
def test_quantiles_stay_in_order_and_the_median_where_it_was_shifted(
    shift: float, lower: float, upper: float
) -> None:
    generator = np.random.default_rng(2)
    quantiles = np.sort(generator.gamma(2, 2, (50, 4, 5)), axis=-1)
    all_of = np.ones((50, 4))
    corrected = correct(quantiles, shift * all_of, lower * all_of, upper * all_of)
    shifted = np.maximum(quantiles + shift, 0)
    assert (np.diff(corrected, axis=-1) >= 0).all()
    assert (corrected >= 0).all()
    assert (corrected[..., 2] == shifted[..., 2]).all()
    moved = corrected[..., -1] - shifted[..., -1]
    assert np.allclose(moved, np.maximum(upper, shifted[..., 2] - shifted[..., -1]))


def answer(corrections: Corrections) -> PopularityForecast:
    links = np.array([-1, *[0] * 11], "<i4").tobytes()
    delays = np.linspace(0, 300, 12, dtype="<f4").tobytes()
    snapshot = CascadeSnapshot(
        "c@a300", "c", "a300", 1e6, 300.0, 12, True, delays, links, links, links
    )
    value = CASCADE_SNAPSHOTS.codec.encode(snapshot)
    message = Received(CASCADE_SNAPSHOTS.name, 0, 0, 1_700_000_000_000, b"c", value)
    served = load(SETTINGS, "seismic")
    batch = ForecastBatch(lambda: served, SETTINGS, CollectorRegistry(), corrections=corrections)
    [(_, output)] = batch([message])
    forecast: PopularityForecast = POPULARITY_FORECASTS.codec.decode(output.value)
    return forecast


def test_a_forecast_states_its_own_point_and_interval_and_what_corrected_them() -> None:
    plain = answer(Corrections(HORIZONS))
    assert [at.correction for at in plain.horizons] == [None] * 4
    corrections = Corrections(HORIZONS)
    corrections.take(record(shift=0.25))
    corrected = answer(corrections)
    before, after = plain.horizons[1], corrected.horizons[1]
    assert after.correction == Correction(
        before.quantiles.p05, before.quantiles.p95, 40, before.geometric_mean
    )

    def log2(count: float | None) -> float:
        assert count is not None
        return float(np.log2(1 + count - 12))

    assert log2(after.quantiles.p95) == pytest.approx(log2(before.quantiles.p95) + 1.75)
    assert log2(after.quantiles.p05) == pytest.approx(max(log2(before.quantiles.p05) - 0.25, 0))
    assert log2(after.geometric_mean) == pytest.approx(log2(before.geometric_mean) + 0.25)
    assert log2(after.expected) == pytest.approx(log2(before.expected) + 0.25)
    first = corrected.horizons[0]
    assert first.correction is not None and first.correction.sample_size == 0
    assert msgspec.structs.replace(first, correction=None) == plain.horizons[0]
