"""The records, one for each topic. Timestamps are unix seconds of event time or named otherwise.

Every field is bounded: a value outside its bounds is refused when it is decoded, and the message
goes to `dead.letters` with the reason. Records without `forbid_unknown_fields` accept fields that
this version does not know, so that a writer may be upgraded before its readers.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

YEAR_2100 = 4_102_444_800  # unix seconds; times and durations are below
FORECAST_LIFE = 4 * 3_600.0  # seconds of event time for which a forecast is worth showing
INEXACT = 1 << 53  # from here on a float holds no count exactly

Id = Annotated[
    str, Meta(min_length=1, max_length=256, description="Identifier, 1 to 256 characters.")
]
# Of an object: the target of a request, which may be signed, or come with its host.
LONGEST_OBJECT = 2_048
ObjectId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=LONGEST_OBJECT,
        description=f"Identifier of an object, 1 to {LONGEST_OBJECT} characters.",
    ),
]
# Made of an identifier and a little more.
DerivedId = Annotated[str, Meta(min_length=1, max_length=320)]
Label = Annotated[str, Meta(min_length=1, max_length=100)]
Timestamp = Annotated[
    float,
    Meta(ge=0, lt=YEAR_2100, description="Event time, unix seconds, before the year 2100."),
]
Seconds = Annotated[
    float, Meta(ge=0, lt=YEAR_2100, description="Duration in seconds, under 130 years.")
]
Count = Annotated[int, Meta(ge=0, lt=INEXACT)]
Events = Annotated[float, Meta(ge=0, lt=1e18, description="Expected or likely number of events.")]
# A logarithm, to base e or 2, of any positive number that a float holds.
Logarithm = Annotated[float, Meta(ge=-1100, le=1100)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Packed = Annotated[
    bytes, Meta(max_length=1 << 26, description="Little-endian array, packed; up to 64 MiB.")
]
Clock = Annotated[
    float, Meta(ge=0, lt=YEAR_2100, description="Wall clock of the writer, unix seconds.")
]


# --------------------------------------------------------------------------- inputs


class SocialEvent(msgspec.Struct, frozen=True, gc=False):
    """One post, share, reply or view that belongs to a cascade. Topic `social.events`."""

    cascade_id: Id
    event_id: Id
    user_id: Id
    timestamp: Timestamp
    kind: Literal["post", "share", "reply", "view"]
    parent_id: Id | None = None
    parent_user_id: Id | None = None
    content_id: Id | None = None


class EdgeRequest(msgspec.Struct, frozen=True, gc=False):
    """One request that an edge served. Topic `edge.requests`."""

    edge_id: Id
    object_id: ObjectId
    timestamp: Timestamp
    size: Annotated[int, Meta(ge=0, lt=1 << 50, description="Bytes of the object.")] | None = None
    hit: bool | None = None
    client_id: Id | None = None


# --------------------------------------------------------------------------- cascades

# Upper edges in seconds of the bins that summarise the events past a cascade's bound, four to the
# octave from one second to about 97 days, plus every age at which snapshots or outcomes are
# usually taken, so that a count at such an age is exact. The last bin is open.
BIN_EDGES: NDArray[np.float64] = np.unique(
    np.concatenate(
        [
            np.round(2.0 ** np.arange(0, 23.25, 0.25), 3),
            [
                300,
                900,
                1800,
                3600,
                7200,
                14400,
                21600,
                28800,
                43200,
                86400,
                172800,
                604800,
                1296000,
            ],
        ]
    )
)


class CascadeSnapshot(msgspec.Struct, frozen=True):
    """What was known of a cascade when a trigger fired. Topic `cascade.snapshots` (internal).

    `trigger` is `n<count>` (growth: the cascade reached that many events) or `a<seconds>` (age).
    The packed arrays describe the first N events in order of time: `delay` float32 seconds since
    publication; `parent` int32 index into these arrays, -1 for the root and -2 where the parent is
    not known; `depth` int32, 0 for the root; `user` int32, a hash of the user. `rest` holds int32
    counts of the events past the first N, one for each of `BIN_EDGES` and one for what is later;
    it is empty when there are none.
    """

    snapshot_id: DerivedId
    cascade_id: Id
    trigger: Annotated[str, Meta(pattern="^[na][0-9]{1,12}$")]
    published_at: Timestamp
    age: Seconds
    observed_count: Count
    rooted: bool
    delay: Packed
    parent: Packed
    depth: Packed
    user: Packed
    rest: Packed = b""

    @property
    def observed_at(self) -> float:
        """Event time up to which this snapshot saw the cascade."""
        return self.published_at + self.age

    def delays(self) -> NDArray[np.float32]:
        """Seconds since publication of the first N events, shape (N,), ascending."""
        return np.frombuffer(self.delay, dtype="<f4")

    def parents(self) -> NDArray[np.int32]:
        """Index of each event's parent, shape (N,); -1 for the root, -2 where it is not known."""
        return np.frombuffer(self.parent, dtype="<i4")

    def depths(self) -> NDArray[np.int32]:
        """Hops from the root, shape (N,)."""
        return np.frombuffer(self.depth, dtype="<i4")

    def users(self) -> NDArray[np.int32]:
        """Hash of each event's user, shape (N,)."""
        return np.frombuffer(self.user, dtype="<i4")

    def rest_counts(self) -> NDArray[np.int32]:
        """Counts past the first N events by delay, shape (len(BIN_EDGES) + 1,), or (0,) if none."""
        return np.frombuffer(self.rest, dtype="<i4")


class Quantiles(msgspec.Struct, frozen=True):
    """Quantiles of the total count at a horizon; p05 to p95 is the 90 % interval."""

    p05: Events
    p25: Events
    p50: Events
    p75: Events
    p95: Events


Own = Annotated[float, Meta(ge=0, lt=1e18, description="The model's own.")]


class Correction(msgspec.Struct, frozen=True):
    """What a corrected forecast was before, and which correction it is that moved it."""

    p05: Own
    p95: Own
    sample_size: Annotated[
        int, Meta(ge=0, lt=INEXACT, description="Of the record on model.calibration applied.")
    ]
    geometric_mean: Own | None = None


class HorizonForecast(msgspec.Struct, frozen=True):
    """The forecast total count at one horizon (an age in seconds since publication)."""

    horizon: Seconds
    expected: Annotated[
        float, Meta(ge=0, lt=1e18, description="Expected total count, observed included.")
    ]
    quantiles: Quantiles
    geometric_mean: (
        Annotated[
            float,
            Meta(
                ge=0,
                lt=1e18,
                description="Total count whose increment, one added, is the geometric mean of what "
                "may come: the point with the least mean squared logarithmic error (MSLE).",
            ),
        ]
        | None
    ) = None
    correction: Correction | None = None


class PopularityForecast(msgspec.Struct, frozen=True):
    """How far a cascade will spread. Topic `popularity.forecasts`.

    What versions answer that are tried and not served: Topic `shadow.forecasts` (internal).
    """

    forecast_id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=320,
            description="A function of the snapshot: a repeat keeps it.",
        ),
    ]
    cascade_id: Id
    published_at: Timestamp
    observed_at: Timestamp
    age: Seconds
    observed_count: Count
    horizons: Annotated[list[HorizonForecast], Meta(max_length=64)]
    viral_probability: Annotated[
        float, Meta(ge=0, le=1, description="Of reaching the viral count by the last horizon.")
    ]
    viral_count: Annotated[
        int, Meta(ge=1, lt=INEXACT, description="The count that is called viral here.")
    ]
    model: Label
    model_version: Label
    degraded: Annotated[bool, Meta(description="True when a fall-back model answered.")]
    produced_at: Clock

    @property
    def growth(self) -> float:
        """Events that it expects by its last horizon, beyond those observed."""
        return self.horizons[-1].expected - self.observed_count if self.horizons else 0.0


class CascadeOutcome(msgspec.Struct, frozen=True):
    """The count a cascade really had at an age. Topic `cascade.outcomes`."""

    cascade_id: Id
    published_at: Timestamp
    age: Seconds
    count: Count
    final: Annotated[bool, Meta(description="True for the last outcome: the cascade is closed.")]


class ForecastScore(msgspec.Struct, frozen=True):
    """One forecast held against what happened. Topic `forecast.scores`.

    Counts are totals. The literature's errors are of the increment, of which `increment_log2_error`
    squared has the mean MSLE.
    """

    forecast_id: DerivedId
    cascade_id: Id
    age: Seconds
    horizon: Seconds
    predicted: Events
    realised: Count
    log2_error: Annotated[Logarithm, Meta(description="log2(1 + predicted) - log2(1 + realised).")]
    inside_interval: bool
    model: Label
    model_version: Label
    published_at: Timestamp = 0.0
    observed_count: Count = 0
    increment_log2_error: Annotated[
        Logarithm,
        Meta(description="The same of what exceeds observed_count; above 0: too much was forecast"),
    ] = 0.0
    low: Annotated[float, Meta(ge=0, lt=1e18, description="p05 as forecast.")] = 0.0
    high: Annotated[float, Meta(ge=0, lt=1e18, description="p95 as forecast.")] = 0.0
    own_low: Annotated[float, Meta(ge=0, lt=1e18, description="p05 before correction.")] = 0.0
    own_high: Annotated[float, Meta(ge=0, lt=1e18, description="p95 before correction.")] = 0.0
    own_predicted: (
        Annotated[float, Meta(ge=0, lt=1e18, description="predicted before correction.")] | None
    ) = None
    degraded: Annotated[bool, Meta(description="A fall-back model answered.")] = False
    shadow: Annotated[bool, Meta(description="Of a version that is tried, not served.")] = False


class ModelCalibration(msgspec.Struct, frozen=True):
    """Correction of a model's forecasts at a horizon and in an age bucket, by what came of them.

    Topic `model.calibration`. The shift moves the point and all quantiles, then the ends are moved.
    Made of the scores on `forecast.scores` that lie before the offsets in `counted`.
    """

    model: Label
    model_version: Label
    horizon: Seconds
    age_bucket: Label
    correction: Annotated[
        Logarithm, Meta(description="Added to the upper end, in log2(1 + increment).")
    ]
    coverage: Annotated[
        float, Meta(ge=0, le=1, description="Of the 90 % intervals as forecast, the latest scores.")
    ]
    sample_size: Annotated[int, Meta(ge=0, lt=INEXACT, description="Scores counted so far.")]
    lower_correction: Annotated[
        Logarithm, Meta(description="Taken from the lower end, in log2(1 + increment).")
    ] = 0.0
    own_coverage: Annotated[
        float, Meta(ge=0, le=1, description="The same of the intervals before correction.")
    ] = 0.0
    counted: Annotated[
        list[Count], Meta(max_length=10_000, description="An offset for each partition.")
    ] = []
    shift: Annotated[
        Logarithm, Meta(description="Added to the point and all quantiles, in log2(1 + increment).")
    ] = 0.0


class AwaitedHorizon(msgspec.Struct, frozen=True):
    """What a score takes from a forecast at one horizon; total counts."""

    horizon: Seconds
    predicted: Events
    low: Events
    high: Events
    own_low: Events
    own_high: Events
    own_predicted: Events | None = None


class AwaitedForecast(msgspec.Struct, frozen=True):
    """What a score takes from a forecast whose outcomes are still to come."""

    forecast_id: DerivedId
    cascade_id: Id
    published_at: Timestamp
    age: Seconds
    observed_count: Count
    horizons: Annotated[list[AwaitedHorizon], Meta(max_length=64)]
    model: Label
    model_version: Label
    degraded: bool
    shadow: bool


class LedgerEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A forecast or an outcome that waits for its counterpart. Topic `scorer.ledger` (internal)."""

    forecast: AwaitedForecast | None = None
    outcome: CascadeOutcome | None = None


# --------------------------------------------------------------------------- caches


class EdgeWindow(msgspec.Struct, frozen=True):
    """The requests of one edge in one window of time. Topic `edge.windows` (internal).

    `objects` are the distinct objects in order of first request; `count` int32 and `size` int64
    (bytes of the object, 0 where unknown) run beside it. `order` is int32, for each request in
    order of arrival the index of its object: with it a shadow cache replays the very sequence.
    A window too large for one message is sent as `parts` messages, cut in order of requests.
    """

    edge_id: Id
    start: Timestamp
    length: Annotated[float, Meta(gt=0, lt=YEAR_2100, description="Seconds.")]
    part: Count
    parts: Annotated[int, Meta(ge=1, lt=INEXACT)]
    objects: Annotated[list[ObjectId], Meta(max_length=1 << 24)]
    count: Packed
    size: Packed
    order: Packed
    reported: Annotated[Count, Meta(description="Requests that carried a hit flag.")] = 0
    reported_hits: Count = 0

    @property
    def epoch(self) -> int:
        """Number of the window since 1970; the epoch of decisions made from it."""
        return round(self.start / self.length)

    @property
    def window_id(self) -> str:
        """Names the window, the same for all of its parts."""
        return f"{self.edge_id}@{self.start:.6f}"

    def counts(self) -> NDArray[np.int32]:
        """Requests of each object, shape (len(objects),)."""
        return np.frombuffer(self.count, dtype="<i4")

    def sizes(self) -> NDArray[np.int64]:
        """Bytes of each object, 0 where unknown, shape (len(objects),)."""
        return np.frombuffer(self.size, dtype="<i8")

    def requests(self) -> NDArray[np.int32]:
        """Index of the object of each request in order of arrival, shape (requests,)."""
        return np.frombuffer(self.order, dtype="<i4")


class CacheDecision(msgspec.Struct, frozen=True, tag_field="record", tag="decision"):
    """What an edge should do with one object. Topic `cache.decisions`.

    The key is the JSON array `[edge_id, object_id]`; a null value returns the object to the
    edge's default.
    """

    edge_id: Id
    object_id: ObjectId
    verdict: Literal["admit", "prefetch"]
    score: Annotated[
        Logarithm, Meta(description="log of the expected requests in the next window.")
    ]
    expires_at: Annotated[Timestamp, Meta(description="Event time after which it is void.")]
    epoch: Count
    reason: Annotated[str, Meta(max_length=200)]
    model: Label
    model_version: Label


class EdgeEpoch(msgspec.Struct, frozen=True, tag_field="record", tag="epoch"):
    """Closes an epoch: every decision of it stands before this record. Topic `cache.decisions`.

    The key is the JSON array `[edge_id]`.
    """

    edge_id: Id
    epoch: Count
    window_start: Timestamp
    window_length: Seconds
    requests: Count
    objects: Annotated[Count, Meta(description="Objects of the edge that the ranker knows.")]
    admitted: Annotated[Count, Meta(description="Decisions in force after this epoch.")]
    capacity: Annotated[Count, Meta(description="Objects the cache is taken to hold.")]
    hit_ratio: Annotated[float, Meta(ge=0, le=1, description="Of a cache that obeys.")]
    lru_hit_ratio: Annotated[float, Meta(ge=0, le=1, description="Of an LRU cache of equal size.")]
    model: Label
    model_version: Label
    produced_at: Clock
    decayed_hit_ratio: (
        Annotated[
            float,
            Meta(
                ge=0,
                le=1,
                description="Of a cache of equal size that goes by a self-tuning decayed count.",
            ),
        ]
        | None
    ) = None
    standing_down: Annotated[
        bool,
        Meta(description="Obeying gained nothing over LRU lately, so no decision is in force."),
    ] = False
    scored_by: Annotated[
        str, Meta(max_length=200, description="What the scores go by at present, in words.")
    ] = ""


# --------------------------------------------------------------------------- operation


class ModelUpdate(msgspec.Struct, frozen=True):
    """A version that forecasters and rankers should serve. Topic `model.updates`."""

    name: Id
    version: Id
    uri: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=2048,
            description="Folder of the version, <registry>/<name>/<version>: a path or file://.",
        ),
    ]
    digest: Annotated[
        str,
        Meta(
            pattern="^sha256:[0-9a-f]{64}$",
            description="Of the version's card.json, which holds the digests of its other files.",
        ),
    ]
    replaces: (
        Annotated[
            str, Meta(min_length=1, max_length=256, description="Version that was served before.")
        ]
        | None
    ) = None


class LetterRedriven(msgspec.Struct, frozen=True):
    """A dead letter whose message was sent back to its topic. Topic `redriven.letters`."""

    partition: Annotated[Count, Meta(description="Of the letter on `dead.letters`.")]
    offset: Annotated[Count, Meta(description="Of the letter on `dead.letters`.")]
    topic: Annotated[Id, Meta(description="That the message went back to.")]
    redriven_at: Clock


class RoleNotice(msgspec.Struct, frozen=True):
    """What a role noticed about its input that results suffer from. Topic `role.notices`.

    Counted since the worker started; a key's latest record tells all that its worker knows.
    """

    role: Label
    instance: Label
    kind: Annotated[
        Label, Meta(description="What it is, such as no_key or records_lost; more may come.")
    ]
    topic: Annotated[Id, Meta(description="In which it was noticed.")]
    partition: Annotated[Count, Meta(description="In which it was noticed.")]
    count: Annotated[int, Meta(ge=1, lt=INEXACT, description="Messages that it is about.")]
    first_at: Clock
    last_at: Clock
    message: Annotated[
        str,
        Meta(min_length=1, max_length=1000, description="What was seen, and what comes of it."),
    ]
    offset: Annotated[Count, Meta(description="Of the latest message it is about.")] | None = None


Record = (
    SocialEvent
    | EdgeRequest
    | CascadeSnapshot
    | PopularityForecast
    | CascadeOutcome
    | ForecastScore
    | ModelCalibration
    | LedgerEntry
    | EdgeWindow
    | CacheDecision
    | EdgeEpoch
    | ModelUpdate
    | LetterRedriven
    | RoleNotice
)
