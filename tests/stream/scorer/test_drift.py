"""Drift: found soon after it begins, seldom where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry

from stream.scorer.drift import MAX_DETECTORS, ErrorDrift, InputDrift
from stream.settings import Settings
from topics.records import ForecastScore, PopularityForecast


def score(cascade: str, error: float, **changes: Any) -> ForecastScore:
    """One whose error was corrected away."""
    fields: dict[str, Any] = {
        "forecast_id": "f", "cascade_id": cascade, "age": 300.0, "horizon": 3_600.0,
        "predicted": 255.0, "realised": 255, "log2_error": 0.0, "inside_interval": True,
        "model": "m", "model_version": "1", "increment_log2_error": 0.0,
        "own_predicted": max(2.0 ** (8 + error) - 1, 0.0),
    }  # fmt: skip
    return ForecastScore(**(fields | changes))


def forecast(age: float, count: int) -> PopularityForecast:
    return PopularityForecast("f", "c", 0.0, age, age, count, [], 0.0, 500, "m", "1", False, 0.0)


ERRORS = {"model": "m", "version": "1", "horizon": "3600"}


def test_errors_that_change_are_found_and_those_that_do_not_are_not() -> None:
    generator = np.random.default_rng(2)
    registry = CollectorRegistry()
    drift = ErrorDrift(registry)

    def found() -> float:
        return registry.get_sample_value("tidecast_scorer_error_drifts_total", ERRORS) or 0.0

    for number in range(1_500):
        # Forecasts of one cascade err together: they are no evidence of drift.
        shared = generator.normal(0, 1)
        drift.take([score(f"c{number}", shared + generator.normal(0, 0.1)) for _ in range(8)])
    assert found() == 0
    needed = 0
    while found() == 0 and needed < 500:
        drift.take([score(f"d{needed}", generator.normal(1.5, 1))])
        needed += 1
    assert found() == 1
    assert needed < 150
    for number in range(300):
        drift.take([score(f"e{number}", generator.normal(1.5, 1))])
    mean = registry.get_sample_value("tidecast_scorer_error_mean_log2", ERRORS)
    assert mean is not None and 1.2 < mean < 1.8


def test_shadows_and_degraded_answers_are_no_drift_of_what_is_served() -> None:
    registry = CollectorRegistry()
    ErrorDrift(registry).take([score("c", 1.0, shadow=True), score("c", 1.0, degraded=True)])
    assert registry.get_sample_value("tidecast_scorer_error_drifts_total", ERRORS) is None


def test_inputs_are_watched_by_age_and_by_growth() -> None:
    registry = CollectorRegistry()
    settings = Settings()
    drift = InputDrift(settings, registry)
    generator = np.random.default_rng(3)
    for at in range(1_200):
        scale = 40 if at < 800 else 160
        drift.take(forecast(3_600.0, int(10 + generator.exponential(scale))))
        drift.take(forecast(float(generator.uniform(50, 60)), settings.growth_first))
        drift.take(forecast(77.0, 2 * settings.growth_first))

    def found(what: str) -> float | None:
        return registry.get_sample_value("tidecast_scorer_input_drifts_total", {"what": what})

    assert found("events at 3600 s") == 1
    assert found("seconds to 10 events") == 0
    assert {
        sample.labels["what"] for family in registry.collect() for sample in family.samples
    } == {"events at 3600 s", "seconds to 10 events"}


def test_detectors_of_what_is_served_no_more_make_room() -> None:
    registry = CollectorRegistry()
    drift = ErrorDrift(registry)
    for version in range(2 * MAX_DETECTORS):
        drift.take([score("c", 0.0, model_version=str(version))])
    samples = [
        sample for family in registry.collect() for sample in family.samples
        if sample.name == "tidecast_scorer_error_drifts_total"
    ]  # fmt: skip
    assert len(samples) == MAX_DETECTORS
