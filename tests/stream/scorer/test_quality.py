"""Figures of scores: what they are, that they are of the latest, and that labels stay few."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from models.judging.metrics import coverage, mape, msle
from stream.scorer.quality import LATEST, MAX_VERSIONS, Quality, figures, row_of, top_caught
from topics.records import ForecastScore

HORIZONS = (3_600.0, 86_400.0)


def score(predicted: float = 30.0, realised: int = 30, **changes: Any) -> ForecastScore:
    error = np.log2(1 + predicted - 10) - np.log2(1 + max(realised - 10, 0))
    fields: dict[str, Any] = {
        "forecast_id": "c@a300/m-1", "cascade_id": "c", "age": 300.0, "horizon": 3_600.0,
        "predicted": predicted, "realised": realised, "log2_error": 0.0,
        "inside_interval": 20 <= realised <= 50, "model": "m", "model_version": "1",
        "observed_count": 10, "increment_log2_error": float(error), "low": 20.0, "high": 50.0,
        "own_low": 25.0, "own_high": 40.0, "own_predicted": 35.0,
    }  # fmt: skip
    return ForecastScore(**(fields | changes))


def test_figures_are_those_of_the_literature() -> None:
    generator = np.random.default_rng(1)
    realised = generator.integers(10, 90, 300)
    predicted = generator.uniform(10, 90, 300)
    found = figures(
        np.array([row_of(score(p, int(r))) for p, r in zip(predicted, realised, strict=True)])
    )
    increments = realised - 10
    assert found.n == 300
    assert found.msle == pytest.approx(msle(predicted - 10, increments))
    assert found.own_msle == pytest.approx(msle(np.full(300, 25.0), increments))
    assert found.mape_ratio == pytest.approx(mape(predicted - 10, increments))
    assert found.bias_log2 == pytest.approx(
        np.mean(np.log2(predicted - 9) - np.log2(1 + increments))
    )
    assert found.coverage_ratio == pytest.approx(coverage(20, 50, realised))
    assert found.own_coverage_ratio == pytest.approx(coverage(25, 40, realised))


def test_the_share_of_the_top_that_was_caught() -> None:
    realised = np.arange(400.0)
    assert top_caught(realised, realised) == 1
    assert top_caught(-realised, realised) == 0
    half = realised.copy()
    half[[399, 398]] = 0  # two of the four that grew most
    assert top_caught(half, realised) == 0.5
    assert top_caught(np.array([1.0]), np.array([0.0])) == 1


def test_metrics_are_of_the_latest_scores_by_kind_horizon_and_age() -> None:
    registry = CollectorRegistry()
    quality = Quality(HORIZONS, registry)
    labels = {"kind": "served", "model": "m", "version": "1", "horizon": "3600", "age": "under 15m"}

    def value(name: str, **changes: str) -> float | None:
        return registry.get_sample_value(f"tidecast_scorer_{name}", labels | changes)

    quality.take([score(realised=9_999)] * 50)
    assert value("coverage_ratio") == 0
    quality.take([score()] * LATEST)
    assert value("coverage_ratio") == 1
    assert value("msle") == 0
    assert value("scores_total") == LATEST + 50
    quality.take([score(shadow=True), score(degraded=True), score(age=7_200.0)])
    assert value("scores_total", kind="shadow") == value("scores_total", kind="degraded") == 1
    assert value("scores_total", age="1h to 4h") == 1
    quality.take([score(horizon=5_000.0)])
    assert value("scores_total", horizon="5000") is None


def test_versions_that_are_scored_no_more_make_room() -> None:
    registry = CollectorRegistry()
    quality = Quality(HORIZONS, registry)
    for version in range(3 * MAX_VERSIONS):
        quality.take([score(model_version=str(version)), score(model_version="steady")])
    told = {sample.labels["version"] for family in registry.collect() for sample in family.samples}
    assert len(told) == MAX_VERSIONS
    assert {"steady", str(3 * MAX_VERSIONS - 1)} <= told
