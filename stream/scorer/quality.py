"""How good the latest forecasts of each version were, at each horizon and age, as metrics.

Means over the latest `LATEST` scores, worked out when they are asked for. What is served, what is
tried beside it and what answered when the forecaster was late are told apart by the label `kind`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from models.judging.conformal import ROUNDING, age_bucket
from models.judging.metrics import mape
from stream.scorer.join import increment_log2, own_point
from topics.records import ForecastScore

LATEST = 1_000
# Kinds and versions that are told of; the one scored longest ago makes room for a new one.
MAX_VERSIONS = 16
TOP_SHARE = 0.01
_WHAT = {
    "msle": "Mean of the squared error of log2(1 + increment)",
    "own_msle": "The same of the points before correction",
    "mape_ratio": "Mean of the error of log2(2 + increment) over what came",
    "bias_log2": "Mean error of log2(1 + increment); above 0: too much was forecast",
    "coverage_ratio": "Share of the 90 % intervals that held what came",
    "own_coverage_ratio": "The same of the intervals before correction",
    "top_caught_ratio": "Share of the 1 % that grew most that were among the 1 % forecast to",
}


class Figures(NamedTuple):
    """How good forecasts were; the names are those of the metrics."""

    n: int
    msle: float
    own_msle: float
    mape_ratio: float
    bias_log2: float
    coverage_ratio: float
    own_coverage_ratio: float
    top_caught_ratio: float


class Kind(NamedTuple):
    """What is told apart: `kind` is served, shadow or degraded."""

    kind: str
    model: str
    version: str


class Place(NamedTuple):
    """Where scores are averaged: horizon in seconds, bucket of the snapshot's age."""

    horizon: float
    age: str


def kind_of(score: ForecastScore) -> Kind:
    """What a score speaks of."""
    kind = "shadow" if score.shadow else "degraded" if score.degraded else "served"
    return Kind(kind, score.model, score.model_version)


def row_of(score: ForecastScore) -> tuple[float, ...]:
    """A score as a row of `figures`."""
    observed = score.observed_count
    realised = increment_log2(score.realised, observed)
    return (
        increment_log2(score.predicted, observed),
        realised,
        score.inside_interval,
        increment_log2(score.own_low, observed) - ROUNDING <= realised
        <= increment_log2(score.own_high, observed) + ROUNDING,
        own_point(score),
    )  # fmt: skip


def figures(rows: NDArray[np.float64]) -> Figures:
    """The figures of scores.

    Args:
        rows: of `row_of`, shape (scores, 5), at least one.
    """
    predicted, realised, inside, own_inside, own = rows.T
    error = predicted - realised
    return Figures(
        n=len(rows),
        msle=float(np.mean(error**2)),
        own_msle=float(np.mean((own - realised) ** 2)),
        mape_ratio=mape(np.exp2(predicted) - 1, np.exp2(realised) - 1),
        bias_log2=float(np.mean(error)),
        coverage_ratio=float(np.mean(inside)),
        own_coverage_ratio=float(np.mean(own_inside)),
        top_caught_ratio=top_caught(predicted, realised),
    )


def top_caught(predicted: NDArray[np.float64], realised: NDArray[np.float64]) -> float:
    """Share of those that grew most that were also forecast to; one at least is looked for."""
    size = max(1, round(TOP_SHARE * len(realised)))
    grew = np.argsort(-realised, kind="stable")[:size]
    forecast = np.argsort(-predicted, kind="stable")[:size]
    return float(np.isin(grew, forecast).mean())


class _Latest:
    """The latest rows, in a ring."""

    def __init__(self) -> None:
        self.taken = 0
        self._rows = np.empty((LATEST, 5))

    def take(self, row: Sequence[float]) -> None:
        self._rows[self.taken % LATEST] = row
        self.taken += 1

    def figures(self) -> Figures:
        return figures(self._rows[: min(self.taken, LATEST)])


class Quality(Collector):
    """Scores in, metrics out. Scrapes may come from any thread.

    Args:
        horizons: that are told of; others, of cascades that woke late, differ each time.
        registry: where the metrics go.
    """

    def __init__(self, horizons: Iterable[float], registry: CollectorRegistry) -> None:
        self._horizons = set(map(float, horizons))
        self._latest: dict[Kind, dict[Place, _Latest]] = {}  # the kind scored longest ago first
        self._lock = threading.Lock()
        registry.register(self)

    def take(self, scores: Iterable[ForecastScore]) -> None:
        """Takes in scores."""
        with self._lock:
            for score in scores:
                if score.horizon not in self._horizons:
                    continue
                kind = kind_of(score)
                places = self._latest.pop(kind, None)
                if places is None:
                    if len(self._latest) >= MAX_VERSIONS:
                        del self._latest[next(iter(self._latest))]
                    places = {}
                self._latest[kind] = places
                place = Place(score.horizon, age_bucket(score.age))
                places.setdefault(place, _Latest()).take(row_of(score))

    def describe(self) -> Iterable[Metric]:
        """Nothing: so the registry does not ask for values before there are any."""
        return []

    def collect(self) -> Iterable[Metric]:
        """What prometheus-client asks for at each scrape."""
        labels = ("kind", "model", "version", "horizon", "age")
        scores = CounterMetricFamily("tidecast_scorer_scores", "Scores taken in", labels=labels)
        gauges = {
            name: GaugeMetricFamily(
                f"tidecast_scorer_{name}", f"{what}, the latest {LATEST} scores", labels=labels
            )
            for name, what in _WHAT.items()
        }
        with self._lock:
            for kind, places in self._latest.items():
                for place, latest in places.items():
                    values = (*kind, f"{place.horizon:g}", place.age)
                    scores.add_metric(values, latest.taken)
                    found = latest.figures()._asdict()
                    for name, gauge in gauges.items():
                        gauge.add_metric(values, found[name])
        return [scores, *gauges.values()]
