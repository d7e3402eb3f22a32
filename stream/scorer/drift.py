"""Drift of what models are shown, and of how they err: ADWIN (`stream.scorer.adwin`).

ADWIN cuts its window where the means of the two parts differ by more than chance allows. It takes
its values for independent, so each detector is given one of a cascade: the forecasts of one cascade
err together, and would be a drift every few cascades. Errors are those before correction: what
corrects them would be a change itself, and would hide the next. A detection is counted; the mean
since the last one tells what is usual now, and so in which direction it went.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge

from stream.scorer.adwin import Adwin
from stream.scorer.join import increment_log2, own_point
from stream.settings import Settings
from topics.records import ForecastScore, PopularityForecast

# Of a false alarm, in the long run of a detector. On recorded cascades it finds a change of speed
# after a few dozen of them.
CONFIDENCE = 1e-4
# Detectors of versions that are served no more make room for others.
MAX_DETECTORS = 64


class _Detectors:
    """One ADWIN for each combination of labels, and what it exports."""

    def __init__(
        self, of: str, what: str, labels: tuple[str, ...], registry: CollectorRegistry
    ) -> None:
        self._detectors: dict[tuple[str, ...], Adwin] = {}
        self._drifts = Counter(
            f"tidecast_scorer_{of}_drifts_total", f"Changes found in {what}",
            labels, registry=registry,
        )  # fmt: skip
        self._mean = Gauge(
            f"tidecast_scorer_{of}_mean_log2", f"Mean of {what} since the last change found",
            labels, registry=registry,
        )  # fmt: skip

    def take(self, labels: tuple[str, ...], value: float) -> None:
        """Takes in the next value."""
        detector = self._detectors.pop(labels, None)
        if detector is None:
            if len(self._detectors) >= MAX_DETECTORS:
                oldest = next(iter(self._detectors))
                del self._detectors[oldest]
                self._drifts.remove(*oldest)
                self._mean.remove(*oldest)
            detector = Adwin(CONFIDENCE)
        has_changed = detector.update(value)
        self._drifts.labels(*labels).inc(has_changed)
        self._mean.labels(*labels).set(detector.mean)
        # The one used longest ago comes first. What is usual after a change is learnt from there.
        self._detectors[labels] = Adwin(CONFIDENCE) if has_changed else detector


class InputDrift:
    """Drift of the cascades that forecasts are made of.

    Two kinds of values: log2 of a cascade's events at each age of the settings, and log2 of its age
    in seconds when it is first forecast by its growth.
    """

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self._ages = {float(age): f"events at {age:g} s" for age in settings.snapshot_ages}
        self._first = settings.growth_first
        self._growth = f"seconds to {settings.growth_first} events"
        self._detectors = _Detectors(
            "input", "what forecasts are made of, log2", ("what",), registry
        )

    def take(self, forecast: PopularityForecast) -> None:
        """Takes in a forecast that was served."""
        at_age = self._ages.get(forecast.age)
        if at_age is not None:
            self._detectors.take((at_age,), float(np.log2(1 + forecast.observed_count)))
        elif forecast.observed_count == self._first:
            self._detectors.take((self._growth,), float(np.log2(1 + forecast.age)))


class _Place(NamedTuple):
    model: str
    version: str
    horizon: str


class ErrorDrift:
    """Drift of the errors of what is served, by version and horizon.

    They are those of log2(1 + increment), before correction.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._detectors = _Detectors(
            "error",
            "errors of forecasts before correction, log2",
            ("model", "version", "horizon"),
            registry,
        )

    def take(self, scores: Iterable[ForecastScore]) -> None:
        """Takes in scores; those of a cascade at a horizon, which come together, count as one."""
        errors: dict[tuple[_Place, str], list[float]] = {}
        for score in scores:
            if not (score.shadow or score.degraded):
                place = _Place(score.model, score.model_version, f"{score.horizon:g}")
                realised = increment_log2(score.realised, score.observed_count)
                error = own_point(score) - realised
                errors.setdefault((place, score.cascade_id), []).append(error)
        for (place, _), values in errors.items():
            self._detectors.take(place, float(np.mean(values)))
