"""Corrections: the latest record of a version moves the ends of its intervals, and says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from models.conformal import correct
from models.interface import Increments
from stream.agents import Received
from stream.corrections import Corrections
from stream.forecast_batch import ForecastBatch
from stream.loading import load
from stream.settings import Settings
from topics.catalogue import CASCADE_SNAPSHOTS, MODEL_CALIBRATION, POPULARITY_FORECASTS
from topics.records import CascadeSnapshot, ModelCalibration, PopularityForecast

SETTINGS = Settings()
HORIZONS = tuple(map(float, SETTINGS.horizons))


def record(**changes: Any) -> ModelCalibration:
    fields: dict[str, Any] = {
        "model": "seismic", "model_version": "1", "horizon": HORIZONS[1],
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
    corrections.take(record())
    ages = np.array([300.0, 900.0])
    corrected, sizes = corrections.apply("seismic", "1", ages, increments(2))
    assert sizes.tolist() == [[0, 40, 0, 0], [0, 0, 0, 0]]
    assert corrected.quantiles[0, 1].tolist() == [0.5, 2.0, 3.0, 4.0, 6.5]
    untouched = corrected.quantiles.copy()
    untouched[0, 1] = [1, 2, 3, 4, 5]
    assert (untouched == increments(2).quantiles).all()
    same, none = corrections.apply("seismic", "2", ages, increments(2))
    assert (same.quantiles == increments(2).quantiles).all() and not none.any()


def test_the_latest_record_counts_and_what_cannot_be_used_changes_nothing() -> None:
    corrections = Corrections(HORIZONS)
    values = [MODEL_CALIBRATION.codec.encode(each) for each in (
        record(correction=9.0), record(sample_size=41), record(horizon=7.0),
        record(age_bucket="ancient"))]  # fmt: skip
    messages: Any = [SimpleNamespace(value=v, offset=0) for v in (*values, b"{", None)]
    corrections.take_in(messages)
    corrected, sizes = corrections.apply("seismic", "1", np.array([300.0]), increments(1))
    assert sizes[0, 1] == 41
    assert corrected.quantiles[0, 1, -1] == 6.5


@pytest.mark.parametrize(("lower", "upper"), [(1.0, 2.0), (-1.5, -1.5), (-9.0, -9.0), (9.0, -9.0)])
def test_quantiles_stay_in_order_and_the_median_where_it_was(lower: float, upper: float) -> None:
    generator = np.random.default_rng(2)
    quantiles = np.sort(generator.gamma(2, 2, (50, 4, 5)), axis=-1)
    corrected = correct(quantiles, np.full((50, 4), lower), np.full((50, 4), upper))
    assert (np.diff(corrected, axis=-1) >= 0).all()
    assert (corrected >= 0).all()
    assert (corrected[..., 2] == quantiles[..., 2]).all()
    moved = corrected[..., -1] - quantiles[..., -1]
    assert np.allclose(moved, np.maximum(upper, quantiles[..., 2] - quantiles[..., -1]))


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


def test_a_forecast_states_its_own_interval_and_what_corrected_it() -> None:
    plain = answer(Corrections(HORIZONS))
    assert [at.correction for at in plain.horizons] == [None] * 4
    corrections = Corrections(HORIZONS)
    corrections.take(record())
    corrected = answer(corrections)
    before, after = plain.horizons[1], corrected.horizons[1]
    assert after.correction is not None
    assert (after.correction.p05, after.correction.p95) == (
        before.quantiles.p05, before.quantiles.p95,
    )  # fmt: skip
    assert after.correction.sample_size == 40

    def log2(count: float) -> float:
        return float(np.log2(1 + count - 12))

    assert log2(after.quantiles.p95) == pytest.approx(log2(before.quantiles.p95) + 1.5)
    assert log2(after.quantiles.p05) == pytest.approx(max(log2(before.quantiles.p05) - 0.5, 0))
    assert (after.expected, after.geometric_mean) == (before.expected, before.geometric_mean)
    assert corrected.horizons[0] == plain.horizons[0]
