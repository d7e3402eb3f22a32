"""What the gateway answers: one type for each answer, from which the OpenAPI document is made.

Times are unix seconds of event time unless the name says `wall`; ages, lags and lengths are
seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from topics.records import (
    CacheDecision,
    CascadeOutcome,
    EdgeEpoch,
    HorizonForecast,
    ModelCalibration,
    ModelUpdate,
    PopularityForecast,
)

Level = Literal["ok", "warning", "wrong"]
Area = Literal["cascades", "outcomes", "edges", "models", "health"]
Wall = Annotated[float, Meta(description="Wall clock, unix seconds.")]
Share = Annotated[float, Meta(ge=0, le=1)]


# --------------------------------------------------------------------------- cascades


class CurvePoint(msgspec.Struct, frozen=True, array_like=True):
    """[age, count]: how many events there were at an age in seconds."""

    age: float
    count: int


class CascadeRow(msgspec.Struct, frozen=True):
    """One cascade in a list: where it is, and its newest forecast."""

    cascade_id: str
    published_at: float
    age: Annotated[float, Meta(description="At which it was last counted.")]
    count: Annotated[int, Meta(description="Events counted by then.")]
    growth: Annotated[
        float, Meta(description="Events expected by the last horizon beyond those observed.")
    ]
    closed: Annotated[bool, Meta(description="Followed no longer: its last outcome is in.")]
    forecast_age: Annotated[float, Meta(description="At which the newest forecast was made.")]
    horizons: Annotated[list[HorizonForecast], Meta(description="Of the newest forecast.")]
    viral_probability: Share
    viral_count: int
    model: str
    model_version: str
    degraded: bool
    forecasts: Annotated[int, Meta(description="How many forecasts of it are kept.")]
    curve: Annotated[list[CurvePoint], Meta(description="Thinned out; see the cascade for all.")]
    outcomes: list[CascadeOutcome]


class CascadePage(msgspec.Struct, frozen=True):
    """Some cascades of a sorted list."""

    total: Annotated[int, Meta(description="Cascades that the filter lets through.")]
    kept: Annotated[int, Meta(description="Cascades that the gateway holds.")]
    offset: int
    event_time: Annotated[float, Meta(description="The newest event time seen; 0 before any.")]
    archive: Annotated[
        bool,
        Meta(
            description="No cascade is live: current ones were asked for, and these are all that "
            "have been forecast, with what came in `outcomes`."
        ),
    ]
    items: list[CascadeRow]


class GraphNode(msgspec.Struct, frozen=True):
    """An event of a cascade, or several siblings drawn as one."""

    id: int
    parent: Annotated[int | None, Meta(description="None for the root.")]
    delay: Annotated[float, Meta(description="Seconds since publication.")]
    depth: int
    events: Annotated[int, Meta(description="1, or how many events this node stands for.")]
    known_parent: Annotated[
        bool, Meta(description="False: the parent is not known, and the root is put for it.")
    ]


class CascadeGraph(msgspec.Struct, frozen=True):
    """Who passed it on from whom, summarised to a readable number of nodes."""

    nodes: list[GraphNode]
    shown: Annotated[int, Meta(description="Events that have a node to themselves.")]
    described: Annotated[int, Meta(description="Events whose parents were recorded.")]
    total: Annotated[int, Meta(description="Events counted at that age.")]
    age: float
    note: Annotated[str, Meta(description="What is summarised, in words; empty if nothing is.")]


class Cascade(msgspec.Struct, frozen=True):
    """One cascade with all that is kept of it."""

    summary: CascadeRow
    curve: list[CurvePoint]
    forecasts: Annotated[list[PopularityForecast], Meta(description="By the age they saw.")]
    outcomes: list[CascadeOutcome]
    graph: CascadeGraph | None
    event_time: float


class DueForecast(msgspec.Struct, frozen=True):
    """A forecast whose horizon has come, beside what was counted then."""

    cascade_id: str
    published_at: float
    horizon: float
    realised: int
    made_at_age: Annotated[float, Meta(description="Age at which the forecast was made.")]
    observed_count: Annotated[int, Meta(description="Events it had seen.")]
    expected: float
    low: Annotated[float, Meta(description="p05, the lower end of the 90 % interval.")]
    high: Annotated[float, Meta(description="p95, its upper end.")]
    inside: bool
    model: str
    model_version: str


class DuePage(msgspec.Struct, frozen=True):
    """The forecasts that came due last, newest first.

    Of each cascade and horizon the newest forecast made in the first half of that time, so that as
    much was still ahead as had gone by; or else the first one made.
    """

    items: list[DueForecast]
    inside: Annotated[int, Meta(description="Of all that came due since the start.")]
    total: int


# --------------------------------------------------------------------------- edges


class EdgeRow(msgspec.Struct, frozen=True):
    """One edge: its last epoch, and ratios over the epochs that are kept, by requests."""

    edge_id: str
    last: EdgeEpoch
    epochs: int
    requests: int
    hit_ratio: Annotated[float, Meta(description="Of a cache that obeys the decisions.")]
    lru_hit_ratio: Annotated[float, Meta(description="Of LRU of equal size.")]
    decayed_hit_ratio: Annotated[
        float | None, Meta(description="Of a decayed count of equal size, where it is told.")
    ]
    decisions: Annotated[int, Meta(description="Decisions in force that are kept.")]


class EdgePage(msgspec.Struct, frozen=True):
    """The edges by name."""

    total: int
    offset: int
    items: list[EdgeRow]


class Edge(msgspec.Struct, frozen=True):
    """One edge: its epochs, oldest first, and a page of its decisions, best score first."""

    summary: EdgeRow
    epochs: list[EdgeEpoch]
    decisions: list[CacheDecision]
    total: Annotated[int, Meta(description="Decisions that the filter lets through.")]
    offset: int
    note: Annotated[str, Meta(description="What is left out, in words; empty if nothing is.")]


# --------------------------------------------------------------------------- models


class Quality(msgspec.Struct, frozen=True):
    """How a model version did at one horizon, over its latest scores."""

    horizon: float
    scores: Annotated[int, Meta(description="Scores since the start.")]
    latest: Annotated[int, Meta(description="Scores that the figures are taken over.")]
    msle: Annotated[float, Meta(description="Mean squared error of log2(1 + increment).")]
    bias: Annotated[
        float, Meta(description="Mean error of log2(1 + increment); above 0: too high.")
    ]
    coverage: Annotated[
        float, Meta(description="Share of realised counts within the 90 % interval.")
    ]


class ModelRow(msgspec.Struct, frozen=True):
    """One model version that answers or has been scored."""

    model: str
    model_version: str
    forecasts: Annotated[int, Meta(description="Served since the start of what is kept.")]
    last_served_wall: Annotated[float | None, Meta(description="When it last answered.")]
    shadow: Annotated[bool, Meta(description="It is tried and not served, by its latest score.")]
    quality: list[Quality]


class Models(msgspec.Struct, frozen=True):
    """Every model version, those that answer first."""

    items: list[ModelRow]
    calibration: list[ModelCalibration]
    updates: Annotated[list[ModelUpdate], Meta(description="The version asked for, by model.")]
    note: Annotated[str, Meta(description="What is missing and why, in words; empty if nothing.")]


# --------------------------------------------------------------------------- health


class Role(msgspec.Struct, frozen=True):
    """A role of the stream, as its consumer group shows it."""

    name: str
    level: Level
    words: Annotated[str, Meta(description="How it is, in words.")]
    members: Annotated[int, Meta(description="Workers that the broker counts as alive.")]
    reads: list[str]
    lag: Annotated[int, Meta(description="Messages not yet worked off.")]
    lag_seconds: Annotated[
        float | None,
        Meta(description="How long the oldest of them has waited; None where it cannot be told."),
    ]
    read: Annotated[int, Meta(description="Messages worked off, by committed offsets.")]
    last_heartbeat_wall: Annotated[
        float | None, Meta(description="When the broker last counted a worker as alive.")
    ]
    last_progress_wall: Annotated[
        float | None, Meta(description="When its committed offsets last moved.")
    ]
    last_passed_wall: Annotated[
        float | None,
        Meta(
            description="When the latest heartbeat was sent that came through it, on the partition "
            "where that is longest ago; None where none has been seen."
        ),
    ] = None
    passed_seconds: Annotated[
        float | None,
        Meta(description="How long that one took from being sent to coming out of this role."),
    ] = None


class Note(msgspec.Struct, frozen=True):
    """Something worth knowing, and what to do about it."""

    level: Level
    text: str
    to_do: str = ""


class Noticed(msgspec.Struct, frozen=True):
    """What a role noticed about its input in the last hour that results suffer from."""

    role: str
    kind: Annotated[str, Meta(description="Such as no_key or records_lost; more may come.")]
    topic: str
    partitions: list[int]
    count: Annotated[int, Meta(description="Messages it is about, since the workers started.")]
    first_wall: Wall
    last_wall: Wall


class Starting(msgspec.Struct, frozen=True):
    """What a process says that it is at while it starts."""

    name: str
    words: str
    ready: Annotated[bool, Meta(description="It is at work.")]
    since_wall: Annotated[float, Meta(description="When it said so, unix seconds.")]


class Health(msgspec.Struct, frozen=True):
    """Everything about the state of the stream."""

    level: Level
    notes: list[Note]
    roles: list[Role]
    ready: bool
    loaded: Annotated[Share, Meta(description="Of what was on the topics at the start.")]
    wall_time: Wall
    event_time: Annotated[float, Meta(description="The newest event time seen; 0 before any.")]
    last_forecast_wall: Annotated[float | None, Meta(description="When one was last received.")]
    checked_wall: Annotated[float | None, Meta(description="When the roles were last looked at.")]
    started_wall: Wall
    cascades: int
    archive: Annotated[
        bool, Meta(description="Cascades have been forecast, and none of them is live.")
    ]
    edges: int
    forecasts: Annotated[int, Meta(description="Received since the start of what is kept.")]
    outcomes: int
    decisions: int
    dead_letters: Annotated[int, Meta(description="On the topic dead.letters now.")]
    undecodable: Annotated[int, Meta(description="Messages that the gateway could not read.")]
    noticed: Annotated[
        list[Noticed], Meta(description="The latest first; `notes` has it in words.")
    ]
    starting: Annotated[
        list[Starting],
        Meta(
            description="What each process is at, where they say so (setting `status_dir`) and "
            "while not all of them are at work; else empty."
        ),
    ]
    kafka: str


class Ready(msgspec.Struct, frozen=True):
    """Whether answers are complete: what the topics held at the start has been read."""

    ready: bool
    loaded: Share
    detail: str


class Changes(msgspec.Struct, frozen=True):
    """The server-sent event `changes`: what is new since the last one."""

    areas: list[Area]
    cascades: Annotated[list[str], Meta(description="Ids, some of many if `more`.")]
    edges: list[str]
    more: bool
