"""Every topic: its name, key, record, partitions, cleanup, retention, writers and readers.

Messages without a value and with a key of their own are heartbeats (`topics.heartbeat`): on the
input topics, and on those that roles pass them on to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from topics.codecs import Codec, Encoding
from topics.records import (
    CacheDecision,
    CascadeOutcome,
    CascadeSnapshot,
    EdgeEpoch,
    EdgeRequest,
    EdgeWindow,
    ForecastScore,
    LedgerEntry,
    LetterRedriven,
    ModelCalibration,
    ModelUpdate,
    PopularityForecast,
    RoleNotice,
    SocialEvent,
)

HOUR = 3_600_000
DAY = 24 * HOUR
# Who stamps the messages of a topic: whoever sends them, unless the brokers are told to.
STAMPED_BY, BROKER = "message.timestamp.type", "LogAppendTime"
Cleanup = Literal["delete", "compact", "compact,delete"]


@dataclass(frozen=True)
class Topic:
    """One topic of the catalogue. `record` is None where the value is the original bytes."""

    name: str
    key: str
    record: Any
    encoding: Encoding
    cleanup: Cleanup
    retention_ms: int | None
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    description: str
    public: bool = True
    partitioned: bool = True  # False: always one partition, whatever the deployment's setting
    # The stamps of what comes in are not to be relied on: clocks lie, and retention goes by them.
    stamped_by_broker: bool = False
    codec: Codec[Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "codec", Codec(self.record, self.encoding))

    def configs(self) -> dict[str, str]:
        """Topic settings for the broker."""
        settings: dict[str, str] = {"cleanup.policy": self.cleanup}
        if self.retention_ms is not None:
            settings["retention.ms"] = str(self.retention_ms)
        if self.stamped_by_broker:
            settings[STAMPED_BY] = BROKER
        return settings


SOCIAL_EVENTS = Topic(
    "social.events", "cascade_id", SocialEvent, "json", "delete", 8 * DAY,
    ("social platforms", "heart"), ("tracker",),
    "Posts, shares, replies and views, as they happen. Keyed by cascade so that the events of one "
    "cascade stay in order. Retention has to outlast a cascade's life: state is rebuilt from here. "
    "A header `traceparent` (W3C Trace Context) is carried on to the forecast.",
    stamped_by_broker=True,
)  # fmt: skip
EDGE_REQUESTS = Topic(
    "edge.requests", "edge_id", EdgeRequest, "json", "delete", 1 * DAY,
    ("edge servers", "heart"), ("historian",),
    "The request log of the edges. Keyed by edge. A header `traceparent` (W3C Trace Context) of "
    "the request that closes a window is carried on to its decisions.",
    stamped_by_broker=True,
)  # fmt: skip
CASCADE_SNAPSHOTS = Topic(
    "cascade.snapshots", "cascade_id", CascadeSnapshot, "msgpack", "delete", 1 * DAY,
    ("tracker",), ("forecaster", "gateway"),
    "What is known of a cascade at each trigger.",
    public=False,
)  # fmt: skip
POPULARITY_FORECASTS = Topic(
    "popularity.forecasts", "cascade_id", PopularityForecast, "json", "compact,delete", 8 * DAY,
    ("forecaster",), ("social platforms", "scorer", "gateway"),
    "How far each cascade will spread, with intervals, at several horizons.",
)  # fmt: skip
SHADOW_FORECASTS = Topic(
    "shadow.forecasts", "cascade_id", PopularityForecast, "json", "delete", 8 * DAY,
    ("forecaster",), ("scorer",),
    "What versions answer that are tried and not served, to be held against what happened.",
    public=False,
)  # fmt: skip
CASCADE_OUTCOMES = Topic(
    "cascade.outcomes", "cascade_id", CascadeOutcome, "json", "delete", 8 * DAY,
    ("tracker",), ("scorer", "gateway"),
    "The count a cascade really had at set ages.",
)  # fmt: skip
FORECAST_SCORES = Topic(
    "forecast.scores", "cascade_id", ForecastScore, "json", "delete", 8 * DAY,
    ("scorer",), ("scorer", "gateway"),
    "Each forecast held against what happened, at each of its horizons that is an outcome's age.",
)  # fmt: skip
SCORER_LEDGER = Topic(
    "scorer.ledger", "cascade", LedgerEntry, "msgpack", "delete", 8 * DAY,
    ("scorer",), ("scorer",),
    "What the scorer has read and not forgotten: it starts from here. Forecasts cannot be read "
    "again where their topic was compacted. Retention has to outlast a cascade's life.",
    public=False,
)  # fmt: skip
MODEL_CALIBRATION = Topic(
    "model.calibration", "model, horizon and age bucket", ModelCalibration, "json", "compact", None,
    ("scorer",), ("forecaster", "scorer", "gateway"),
    "Corrections of forecasts by what came of earlier ones. The key is a JSON array: model, "
    "version, horizon, age bucket.",
    partitioned=False,
)  # fmt: skip
EDGE_WINDOWS = Topic(
    "edge.windows", "edge_id", EdgeWindow, "msgpack", "delete", 1 * DAY,
    ("historian",), ("ranker", "gateway"),
    "The requests of an edge by windows of time. The ranker rebuilds its state from here; the "
    "gateway looks for heartbeats alone.",
    public=False,
)  # fmt: skip
CACHE_DECISIONS = Topic(
    "cache.decisions", "JSON array [edge_id, object_id] or [edge_id]", CacheDecision | EdgeEpoch,
    "json", "compact", None,
    ("ranker",), ("edge agents", "gateway"),
    "What each edge should keep. Partitioned by edge; a record keyed by the edge alone closes an "
    "epoch; a null value returns the object to the edge's default.",
)  # fmt: skip
MODEL_UPDATES = Topic(
    "model.updates", "model", ModelUpdate, "json", "compact", None,
    ("operators",), ("forecaster", "ranker", "gateway"),
    "Versions of models to serve, the latest of each model. `tidecast models publish` writes it.",
    partitioned=False,
)  # fmt: skip
DEAD_LETTERS = Topic(
    "dead.letters", "key of the original message", msgspec.Raw, "json", "delete", 30 * DAY,
    ("tracker", "historian", "forecaster", "ranker", "scorer"), ("operators",),
    "The original bytes of what could not be used. Headers: topic, partition, offset, timestamp "
    "(milliseconds), role, error (class), message (what is wrong and what to do) and traceparent; "
    "and of what was sent back before and failed again, redriven (how often) and redriven_from "
    "(the letter); of what was too large, cut (bytes of key/value as they were); and of a batch "
    "that could not be read, first_offset (of offsets up to offset). What a role could not publish "
    "for its size (error TooLargeError) has the topic and partition it belongs to, and no offset.",
    stamped_by_broker=True,
)  # fmt: skip
REDRIVEN_LETTERS = Topic(
    "redriven.letters", "partition/offset of the letter", LetterRedriven, "json", "delete",
    60 * DAY,
    ("operators",), ("operators",),
    "Which dead letters were sent back to their topics, so that none is sent twice. `tidecast "
    "dead-letters redrive` writes it. Retention has to outlast that of dead.letters.",
    partitioned=False,
)  # fmt: skip
ROLE_NOTICES = Topic(
    "role.notices", "JSON array [role, kind, topic, partition]", RoleNotice, "json",
    "compact,delete", 7 * DAY,
    ("tracker", "historian", "forecaster", "ranker", "scorer"), ("gateway", "operators"),
    "What roles noticed about their input that results suffer from: keys that are missing, records "
    "that were removed unread. The gateway and `tidecast doctor` show it with what to do.",
    partitioned=False,
)  # fmt: skip

CATALOGUE: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        SOCIAL_EVENTS, EDGE_REQUESTS, CASCADE_SNAPSHOTS, POPULARITY_FORECASTS, SHADOW_FORECASTS,
        CASCADE_OUTCOMES, FORECAST_SCORES, SCORER_LEDGER, MODEL_CALIBRATION, EDGE_WINDOWS,
        CACHE_DECISIONS, MODEL_UPDATES, DEAD_LETTERS, REDRIVEN_LETTERS, ROLE_NOTICES,
    )
}  # fmt: skip

# What each role that works on batches reads, in order of the flow.
READS = {
    "tracker": (SOCIAL_EVENTS.name,),
    "historian": (EDGE_REQUESTS.name,),
    "forecaster": (CASCADE_SNAPSHOTS.name,),
    "ranker": (EDGE_WINDOWS.name,),
    "scorer": (POPULARITY_FORECASTS.name, SHADOW_FORECASTS.name, CASCADE_OUTCOMES.name),
}
# All of that: what is in it may become a dead letter, and be sent back to it.
WORKED_OFF = tuple(topic for read in READS.values() for topic in read)
# What they write by batches: what is too large for it may become a dead letter, and be sent back.
WRITTEN = tuple(
    name
    for name, topic in CATALOGUE.items()
    if READS.keys() & set(topic.writers) and topic not in (DEAD_LETTERS, ROLE_NOTICES)
)


def calibration_key(model: str, version: str, horizon: float, age_bucket: str) -> bytes:
    """Key of a record on `model.calibration`: a JSON array."""
    return msgspec.json.encode([model, version, horizon, age_bucket])


def decision_key(edge_id: str, object_id: str | None = None) -> bytes:
    """Key of a record on `cache.decisions`: a JSON array, of the edge alone to close an epoch."""
    return msgspec.json.encode([edge_id] if object_id is None else [edge_id, object_id])


def notice_key(role: str, kind: str, topic: str, partition: int) -> bytes:
    """Key of a record on `role.notices`: a JSON array."""
    return msgspec.json.encode([role, kind, topic, partition])
