"""What comes out of the stream, as someone who reads its public topics sees it.

`tidecast up` reads the output topics like any subscriber would, and so counts and times what
really reached them. It keeps bounded state: the newest forecast of the cascades that are forecast
to grow most, totals of each edge, and the latest of the times from event to forecast.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np
from aiokafka import ConsumerRecord

from stream.kafka.follow import Follower
from stream.letters.reading import Letter
from stream.scorer.quality import Kind, kind_of
from stream.settings import Settings
from stream.workers.heartbeats import parted
from topics.catalogue import (
    CACHE_DECISIONS,
    CASCADE_OUTCOMES,
    DEAD_LETTERS,
    FORECAST_SCORES,
    POPULARITY_FORECASTS,
    Topic,
)
from topics.records import FORECAST_LIFE, EdgeEpoch, PopularityForecast

_READ = (POPULARITY_FORECASTS, CASCADE_OUTCOMES, CACHE_DECISIONS, FORECAST_SCORES, DEAD_LETTERS)
_KEPT_FORECASTS = 2_000
_KEPT_LATENCIES = 1_000_000


@dataclass
class EdgeTotals:
    """One edge since the start: requests, and hits of a cache that obeys and of its shadows."""

    last: EdgeEpoch
    requests: int = 0
    hits: float = 0.0
    lru_hits: float = 0.0
    decayed_hits: float = 0.0

    def add(self, epoch: EdgeEpoch) -> None:
        """Takes in the next epoch."""
        self.last = epoch
        self.requests += epoch.requests
        self.hits += epoch.hit_ratio * epoch.requests
        self.lru_hits += epoch.lru_hit_ratio * epoch.requests
        self.decayed_hits += (epoch.decayed_hit_ratio or 0.0) * epoch.requests

    @property
    def hit_ratio(self) -> float:
        """Of a cache that obeys the decisions."""
        return self.hits / max(self.requests, 1)

    @property
    def lru_hit_ratio(self) -> float:
        """Of an LRU cache of equal capacity."""
        return self.lru_hits / max(self.requests, 1)

    @property
    def decayed_hit_ratio(self) -> float:
        """Of all requests, those that a decayed count would have answered."""
        return self.decayed_hits / max(self.requests, 1)


@dataclass
class ScoreTotals:
    """The forecasts of one version that were held against what happened, since the start."""

    scores: int = 0
    squared_errors: float = 0.0
    inside: int = 0

    @property
    def msle(self) -> float:
        """Mean squared error of log2(1 + increment)."""
        return self.squared_errors / max(self.scores, 1)

    @property
    def coverage(self) -> float:
        """Share of the 90 % intervals that held what came."""
        return self.inside / max(self.scores, 1)


@dataclass
class Observed:
    """Counts of messages on the output topics, and the newest of them."""

    forecasts: int = 0
    degraded: int = 0
    outcomes: int = 0
    decisions: int = 0
    withdrawn: int = 0
    dead_letters: int = 0
    latest_event: float = 0.0
    cascades: dict[str, PopularityForecast] = field(default_factory=dict)
    edges: dict[str, EdgeTotals] = field(default_factory=dict)
    scored: dict[Kind, ScoreTotals] = field(default_factory=dict)
    # Dead letters by the topic they came from and the class of the error.
    reasons: dict[tuple[str, str], int] = field(default_factory=dict)
    # Seconds from the broker's receipt of an event to the forecast it caused, newest last.
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_LATENCIES))

    def dead_letters_of(self, topic: str) -> int:
        """Dead letters that came from a topic."""
        return sum(count for (source, _), count in self.reasons.items() if source == topic)

    def growing(self, n: int) -> list[PopularityForecast]:
        """The `n` cascades forecast to grow most from now, those still fresh in event time."""
        fresh = (
            forecast
            for forecast in self.cascades.values()
            if forecast.observed_at > self.latest_event - FORECAST_LIFE and forecast.horizons
        )
        return heapq.nlargest(n, fresh, key=attrgetter("growth"))

    def latency(self, *percentiles: float) -> list[float | None]:
        """Percentiles of the seconds from event to forecast; None before the first forecast."""
        if not self.latencies:
            return [None] * len(percentiles)
        values = np.percentile(np.fromiter(self.latencies, np.float64), percentiles)
        return [float(value) for value in values]


class Observer(Follower):
    """Follows the output topics from where they end when it starts."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, _READ, self._take_in)
        self.observed = Observed()

    def _take_in(self, topic: Topic, records: Iterable[ConsumerRecord]) -> None:
        take = {
            POPULARITY_FORECASTS.name: self._take_forecast,
            CASCADE_OUTCOMES.name: self._take_outcome,
            CACHE_DECISIONS.name: self._take_decision,
            FORECAST_SCORES.name: self._take_score,
            DEAD_LETTERS.name: self._take_dead_letter,
        }[topic.name]
        for record in parted(records)[0]:
            take(record)

    def _take_forecast(self, record: ConsumerRecord) -> None:
        observed = self.observed
        forecast: PopularityForecast = POPULARITY_FORECASTS.codec.decode(record.value)
        observed.forecasts += 1
        observed.degraded += forecast.degraded
        observed.latest_event = max(observed.latest_event, forecast.observed_at)
        for name, value in record.headers:
            if name == "event_timestamp" and value and value.isdigit():
                observed.latencies.append(forecast.produced_at - int(value) / 1000)
        cascades = observed.cascades
        cascades[forecast.cascade_id] = forecast
        if len(cascades) > _KEPT_FORECASTS:
            kept = heapq.nlargest(_KEPT_FORECASTS // 2, cascades.values(), key=_interest)
            observed.cascades = {forecast.cascade_id: forecast for forecast in kept}

    def _take_outcome(self, _: ConsumerRecord) -> None:
        self.observed.outcomes += 1

    def _take_decision(self, record: ConsumerRecord) -> None:
        if record.value is None:
            self.observed.withdrawn += 1
            return
        decision = CACHE_DECISIONS.codec.decode(record.value)
        if isinstance(decision, EdgeEpoch):
            edges = self.observed.edges
            edges.setdefault(decision.edge_id, EdgeTotals(decision)).add(decision)
        else:
            self.observed.decisions += 1

    def _take_score(self, record: ConsumerRecord) -> None:
        score = FORECAST_SCORES.codec.decode(record.value)
        totals = self.observed.scored.setdefault(kind_of(score), ScoreTotals())
        totals.scores += 1
        totals.squared_errors += score.increment_log2_error**2
        totals.inside += score.inside_interval

    def _take_dead_letter(self, record: ConsumerRecord) -> None:
        observed = self.observed
        observed.dead_letters += 1
        letter = Letter(record)
        reason = letter.topic, letter.error
        observed.reasons[reason] = observed.reasons.get(reason, 0) + 1


def _interest(forecast: PopularityForecast) -> tuple[bool, float]:
    """Order in which forecasts are kept: those with a future, then by expected growth."""
    return bool(forecast.horizons), forecast.growth
