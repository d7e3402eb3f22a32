"""Records as the roles write them, and a gateway's parts that have taken them in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from aiokafka import ConsumerRecord
from prometheus_client import CollectorRegistry

from stream.gateway import health
from stream.gateway.api import Api
from stream.gateway.health import Watch
from stream.gateway.live import Live
from stream.gateway.state import State
from stream.gateway.tables import heartbeats
from stream.settings import Settings
from tests.clock import Clock
from topics.catalogue import (
    CACHE_DECISIONS,
    CASCADE_OUTCOMES,
    CASCADE_SNAPSHOTS,
    FORECAST_SCORES,
    MODEL_CALIBRATION,
    MODEL_UPDATES,
    POPULARITY_FORECASTS,
    Topic,
    decision_key,
)
from topics.records import (
    CacheDecision,
    CascadeOutcome,
    CascadeSnapshot,
    EdgeEpoch,
    ForecastScore,
    HorizonForecast,
    ModelCalibration,
    ModelUpdate,
    PopularityForecast,
    Quantiles,
)

PUBLISHED = 1_600_000_000.0


def forecast(
    name: str = "c", age: float = 300.0, expected: float = 100.0, **changes: Any
) -> PopularityForecast:
    spread = Quantiles(expected / 2, expected * 0.8, expected, expected * 1.2, expected * 2)
    fields: dict[str, Any] = {
        "forecast_id": f"{name}@a{age:g}/boosting-1",
        "cascade_id": name,
        "published_at": PUBLISHED,
        "observed_at": PUBLISHED + age,
        "age": age,
        "observed_count": 20,
        "horizons": [
            HorizonForecast(3_600.0, expected, spread, expected),
            HorizonForecast(14_400.0, 2 * expected, spread, expected),
        ],
        "viral_probability": 0.25,
        "viral_count": 500,
        "model": "boosting",
        "model_version": "1",
        "degraded": False,
        "produced_at": 1_700_000_000.0,
    }
    return PopularityForecast(**{**fields, **changes})


def snapshot(
    name: str = "c",
    age: float = 300.0,
    delays: Sequence[float] = (0, 10, 20),
    parents: Sequence[int] = (-1, 0, 1),
    count: int | None = None,
) -> CascadeSnapshot:
    events = len(delays)
    return CascadeSnapshot(
        f"{name}@a{age:g}", name, f"a{age:.0f}", PUBLISHED, age, count or events, True,
        np.array(delays, "<f4").tobytes(), np.array(parents, "<i4").tobytes(),
        np.zeros(events, "<i4").tobytes(), np.zeros(events, "<i4").tobytes(),
    )  # fmt: skip


def outcome(name: str = "c", age: float = 3_600.0, count: int = 120, final: bool = False) -> Any:
    return CascadeOutcome(name, PUBLISHED, age, count, final)


def epoch(edge: str = "edge-0", number: int = 7, requests: int = 100, **changes: Any) -> EdgeEpoch:
    fields: dict[str, Any] = {
        "edge_id": edge, "epoch": number, "window_start": number * 300.0, "window_length": 300.0,
        "requests": requests, "objects": 50, "admitted": 5, "capacity": 5, "hit_ratio": 0.5,
        "lru_hit_ratio": 0.4, "model": "decayed", "model_version": "1", "produced_at": 1.0,
    }  # fmt: skip
    return EdgeEpoch(**{**fields, **changes})


def decision(
    name: str, edge: str = "edge-0", score: float = 1.0, expires_at: float = 9e9
) -> CacheDecision:
    return CacheDecision(
        edge, name, "admit", score, min(expires_at, 4e9), 7, "expected 3 requests", "decayed", "1"
    )


def score(
    predicted: float, realised: int, horizon: float = 3_600.0, inside: bool = True
) -> ForecastScore:
    error = float(np.log2(1 + predicted) - np.log2(1 + realised))
    return ForecastScore(
        "c@a300/boosting-1", "c", 300.0, horizon, predicted, realised, error, inside,
        "boosting", "1", increment_log2_error=error,
    )  # fmt: skip


def message(topic: Topic, value: Any, key: bytes | None = b"k") -> ConsumerRecord:
    encoded = value if isinstance(value, bytes | None) else topic.codec.encode(value)
    return ConsumerRecord(topic.name, 0, 0, 0, 0, key, encoded, 0, 1, 1, ())


class Parts:
    """A gateway without a broker and without a port."""

    def __init__(self, loaded: float | None = 1.0, **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.registry = CollectorRegistry()
        self.loaded = loaded
        self.state = State(self.settings, self.registry)
        self.live = Live(self.state, self.settings.http_streams)
        self.watch = Watch(self.settings, self.state, lambda: self.loaded, self.registry)
        self.api = Api(self.state, self.watch, self.live)

    def take(self, topic: Topic, *values: Any, key: bytes | None = b"k") -> None:
        """Messages of one topic, as the follower gives them."""
        self.state.take(topic, [message(topic, value, key) for value in values])


def fill(parts: Parts) -> Parts:
    """Something on every topic."""
    parts.take(CASCADE_SNAPSHOTS, snapshot("c/1"), snapshot("d"))
    parts.take(POPULARITY_FORECASTS, forecast("c/1"), forecast("d", expected=300.0))
    parts.take(POPULARITY_FORECASTS, forecast("c/1", age=900.0, expected=150.0))
    parts.take(CASCADE_OUTCOMES, outcome("c/1"))
    parts.take(CACHE_DECISIONS, decision("/a", score=2.0), decision("/b"), epoch())
    parts.take(CACHE_DECISIONS, None, key=decision_key("edge-0", "/b"))
    parts.take(FORECAST_SCORES, score(100, 120), score(50, 120, inside=False))
    parts.take(MODEL_CALIBRATION, ModelCalibration("boosting", "1", 3_600.0, "5m", 0.1, 0.88, 500))
    parts.take(MODEL_UPDATES, ModelUpdate("boosting", "1", "models", "sha256:" + "0" * 64))
    return parts


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the gateway takes for the time."""
    return Clock().read_by(monkeypatch, health, heartbeats)


@pytest.fixture
def parts(clock: Clock) -> Parts:
    return Parts()
