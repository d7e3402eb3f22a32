"""What the gateway knows, and what is new of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiokafka import ConsumerRecord
from prometheus_client import CollectorRegistry, Counter, Gauge

from stream.gateway.tables.cascades import CascadeTable
from stream.gateway.tables.edges import EdgeTable
from stream.gateway.tables.heartbeats import Heartbeats
from stream.gateway.tables.models import ModelTable
from stream.gateway.tables.places import Places
from stream.gateway.tables.views import Area
from stream.settings import Settings
from stream.telemetry.noticed import Summary, lately
from stream.telemetry.notices import Notices
from stream.workers.heartbeats import parted
from topics.catalogue import (
    CACHE_DECISIONS,
    CASCADE_OUTCOMES,
    CASCADE_SNAPSHOTS,
    FORECAST_SCORES,
    MODEL_CALIBRATION,
    MODEL_UPDATES,
    POPULARITY_FORECASTS,
    ROLE_NOTICES,
    Topic,
)
from topics.codecs import DecodeError
from topics.records import CacheDecision, EdgeEpoch, PopularityForecast, RoleNotice

log = logging.getLogger(__name__)

READ = (
    CASCADE_SNAPSHOTS, POPULARITY_FORECASTS, CASCADE_OUTCOMES, CACHE_DECISIONS,
    FORECAST_SCORES, MODEL_CALIBRATION, MODEL_UPDATES, ROLE_NOTICES,
)  # fmt: skip
_NAMED = 200  # changed cascades and edges that are told by name


@dataclass
class News:
    """What has changed since it was last asked for."""

    areas: set[Area] = field(default_factory=set)
    cascades: dict[str, None] = field(default_factory=dict)
    edges: dict[str, None] = field(default_factory=dict)
    more: bool = False  # than are named

    def note(self, area: Area, cascade: str | None = None, edge: str | None = None) -> None:
        """Adds a change."""
        self.areas.add(area)
        for names, name in ((self.cascades, cascade), (self.edges, edge)):
            if name is not None and name not in names:
                if len(names) < _NAMED:
                    names[name] = None
                else:
                    self.more = True


class State:
    """The tables, kept current by `take`.

    Attributes:
        received: messages by topic.
        undecodable: messages that are not their topic's record.
        places: notes cascades and edges that lie in several partitions.
        last_forecast_wall: when a forecast was last received, unix seconds.
        listen: called with each record of a public topic, its kind and the id of its cascade or
            edge, when someone wants them; None while nobody does.
    """

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self.cascades = CascadeTable(settings.gateway_cascades)
        self.edges = EdgeTable(settings.gateway_edges, settings.gateway_decisions)
        self.models = ModelTable()
        self.heartbeats = Heartbeats(settings)
        self._noticed: dict[tuple[str, str, str, str, int], RoleNotice] = {}
        # What the gateway itself notices; it publishes nothing.
        self._own_notices = Notices("gateway", settings.instance, registry)
        self.places = Places(settings.gateway_cascades + settings.gateway_edges, self._own_notices)
        self.received = {topic.name: 0 for topic in READ}
        self.undecodable = 0
        self.last_forecast_wall: float | None = None
        self.listen: Callable[[str, str, Any], None] | None = None
        self._news = News()
        self._records = Counter(
            "tidecast_gateway_records_total", "Messages read", ["topic"], registry=registry
        )
        self._refused = Counter(
            "tidecast_gateway_undecodable_total", "Messages that could not be read", ["topic"],
            registry=registry,
        )  # fmt: skip
        held = Gauge("tidecast_gateway_cascades", "Cascades held", registry=registry)
        held.set_function(lambda: len(self.cascades))
        self._takers: dict[str, Callable[[Any], None]] = {
            CASCADE_SNAPSHOTS.name: self._take_snapshot,
            POPULARITY_FORECASTS.name: self._take_forecast,
            CASCADE_OUTCOMES.name: self._take_outcome,
            CACHE_DECISIONS.name: self._take_decision,
            FORECAST_SCORES.name: self._take_score,
            MODEL_CALIBRATION.name: self._take_calibration,
            MODEL_UPDATES.name: self._take_update,
            ROLE_NOTICES.name: self._take_notice,
        }

    def take(self, topic: Topic, records: Sequence[ConsumerRecord]) -> None:
        """Takes in the next messages of a partition; what cannot be read is counted."""
        records, heartbeats = parted(records)
        self.heartbeats.take(topic, heartbeats)
        taker = self._takers[topic.name]
        self.received[topic.name] += len(records)
        self._records.labels(topic.name).inc(len(records))
        if topic is CASCADE_SNAPSHOTS:
            self.places.take(topic, records)
        for record in records:
            try:
                if record.value is None:
                    self._withdraw(topic, record.key)
                else:
                    taker(topic.codec.decode(record.value))
            except (DecodeError, msgspec.DecodeError, UnicodeDecodeError) as error:
                self.undecodable += 1
                self._refused.labels(topic.name).inc()
                log.warning(
                    "%s partition %d offset %d cannot be read: %s",
                    topic.name, record.partition, record.offset, error,
                )  # fmt: skip

    def news(self) -> News:
        """What has changed since the last call."""
        news, self._news = self._news, News()
        return news

    def noticed(self) -> list[Summary]:
        """What the roles, and the gateway itself, have noticed in the last hour."""
        return lately([*self._noticed.values(), *self._own_notices.latest()], time.time())

    def note_health(self) -> None:
        """The roles have been looked at."""
        self._news.note("health")

    def _tell(self, kind: str, name: str, record: Any) -> None:
        if self.listen is not None:
            self.listen(kind, name, record)

    def _take_snapshot(self, snapshot: Any) -> None:
        self.cascades.take_snapshot(snapshot)
        self._news.note("cascades", cascade=snapshot.cascade_id)

    def _take_forecast(self, forecast: PopularityForecast) -> None:
        self.cascades.take_forecast(forecast)
        self.models.take_forecast(forecast)
        self.last_forecast_wall = time.time()
        self._news.note("cascades", cascade=forecast.cascade_id)
        self._tell("forecast", forecast.cascade_id, forecast)

    def _take_outcome(self, outcome: Any) -> None:
        self.cascades.take_outcome(outcome)
        self._news.note("outcomes", cascade=outcome.cascade_id)
        self._tell("outcome", outcome.cascade_id, outcome)

    def _take_decision(self, record: CacheDecision | EdgeEpoch) -> None:
        if isinstance(record, EdgeEpoch):
            self.edges.take_epoch(record)
            self._tell("epoch", record.edge_id, record)
        else:
            self.edges.take_decision(record)
            self._tell("decision", record.edge_id, record)
        self._news.note("edges", edge=record.edge_id)

    def _take_score(self, score: Any) -> None:
        self.models.take_score(score)
        self._news.note("models")
        self._tell("score", score.cascade_id, score)

    def _take_calibration(self, found: Any) -> None:
        self.models.take_calibration(found)
        self._news.note("models")

    def _take_update(self, update: Any) -> None:
        self.models.take_update(update)
        self._news.note("models")

    def _take_notice(self, notice: RoleNotice) -> None:
        place = notice.role, notice.instance, notice.kind, notice.topic, notice.partition
        self._noticed[place] = notice
        self._news.note("health")

    def _withdraw(self, topic: Topic, key: bytes | None) -> None:
        """A null value: an object is the edge's own again. Elsewhere it asks nothing of us."""
        if topic is CACHE_DECISIONS:
            edge = self.edges.take_withdrawal(key)
            if edge is not None:
                self._news.note("edges", edge=edge)
