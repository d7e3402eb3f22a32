"""The cascades that the gateway holds: forecasts over time, growth curves, what came true.

Bounded: of more than `limit` cascades those are dropped whose news is oldest, except a tenth that
are forecast to grow most. What is kept of each is bounded too.
"""

from __future__ import annotations

import heapq
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np

from stream.gateway.tables import curve
from stream.gateway.tables.graph import cascade_graph, summarise
from stream.gateway.tables.views import Cascade, CascadeGraph, CascadeRow, CurvePoint, DueForecast
from topics import consistency
from topics.catalogue import POPULARITY_FORECASTS
from topics.records import FORECAST_LIFE, CascadeOutcome, CascadeSnapshot, PopularityForecast

_FORECASTS = 64  # kept of a cascade
_OUTCOMES = 16
_DUE = 500  # forecasts that came due, kept for the list of the latest
ROW_POINTS = 40
CURVE_POINTS = 600
GRAPH_NODES = 240


@dataclass(slots=True)
class Shape:
    """What a snapshot says of a cascade's growth and graph, packed as it came."""

    age: float
    count: int
    delay: bytes
    parent: bytes
    rest: bytes

    def delays(self) -> np.ndarray:
        """Seconds since publication of the events kept exactly."""
        return np.frombuffer(self.delay, dtype="<f4")

    def curve(self, points: int) -> list[CurvePoint]:
        """The growth curve, thinned to so many points."""
        rest = np.frombuffer(self.rest, dtype="<i4")
        return curve.thinned(*curve.growth_curve(self.delays(), rest, self.age, self.count), points)

    def graph(self, nodes: int) -> CascadeGraph:
        """Who passed it on from whom, in at most so many nodes."""
        parents = np.frombuffer(self.parent, dtype="<i4")
        return summarise(cascade_graph(self.delays(), parents), self.count, self.age, nodes)


@dataclass(slots=True)
class Entry:
    """One cascade."""

    cascade_id: str
    seen_at: float = 0.0  # the newest event time known of it
    age: float = 0.0  # at which it was last counted
    count: int = 0  # events by then
    latest: PopularityForecast | None = None
    growth: float = -1.0  # by the latest forecast
    shape: Shape | None = None
    # By forecast_id, so that a repeat is recognised; compressed, for a cascade has dozens.
    forecasts: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    outcomes: dict[float, CascadeOutcome] = field(default_factory=dict)  # by age
    # Of the forecast held against the outcome of an age: its own age, and whether it was right.
    due: dict[float, tuple[float, bool]] = field(default_factory=dict)
    closed: bool = False

    @property
    def viral_probability(self) -> float:
        """By the latest forecast."""
        return self.latest.viral_probability if self.latest else 0.0

    def note_count(self, age: float, count: int) -> None:
        """Takes in that there were so many events at an age."""
        if (age, count) > (self.age, self.count):
            self.age, self.count = age, count

    def all_forecasts(self) -> Iterator[PopularityForecast]:
        """Every forecast kept, in order of arrival."""
        for packed in self.forecasts.values():
            yield POPULARITY_FORECASTS.codec.decode(zlib.decompress(packed))


SORTS = {
    "growth": attrgetter("growth"),
    "viral": attrgetter("viral_probability"),
    "count": attrgetter("count"),
    "recent": attrgetter("seen_at"),
}


class CascadeTable:
    """Takes in forecasts, snapshots and outcomes, in whatever order their topics are read.

    Attributes:
        event_time: the newest event time seen.
        due: forecasts whose horizon has come, by cascade and horizon, newest last.
        due_total, due_inside: of all since the start.

    Args:
        limit: cascades held.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: dict[str, Entry] = {}
        self.event_time = 0.0
        self.due: OrderedDict[tuple[str, float], DueForecast] = OrderedDict()
        self.due_total = 0
        self.due_inside = 0

    def __len__(self) -> int:
        return len(self._entries)

    def take_forecast(self, forecast: PopularityForecast) -> None:
        """Takes in a forecast; the latest of a cascade is the one of the greatest age."""
        entry = self._entry(forecast.cascade_id, forecast.observed_at)
        packed = zlib.compress(POPULARITY_FORECASTS.codec.encode(forecast), 1)
        entry.forecasts[forecast.forecast_id] = packed
        if len(entry.forecasts) > _FORECASTS:
            entry.forecasts.popitem(last=False)
        if entry.latest is None or forecast.age >= entry.latest.age:
            entry.latest = forecast
            entry.growth = forecast.growth
        entry.note_count(forecast.age, forecast.observed_count)
        for outcome in entry.outcomes.values():
            self._note_due(entry, outcome, forecast)

    def take_snapshot(self, snapshot: CascadeSnapshot) -> None:
        """Takes in a snapshot; one that contradicts itself is passed over."""
        if consistency.of_snapshot(snapshot) is not None:
            return
        entry = self._entry(snapshot.cascade_id, snapshot.observed_at)
        if entry.shape is None or snapshot.age >= entry.shape.age:
            entry.shape = Shape(
                snapshot.age,
                snapshot.observed_count,
                snapshot.delay,
                snapshot.parent,
                snapshot.rest,
            )
        entry.note_count(snapshot.age, snapshot.observed_count)

    def take_outcome(self, outcome: CascadeOutcome) -> None:
        """Takes in what a cascade really had at an age."""
        entry = self._entry(outcome.cascade_id, outcome.published_at + outcome.age)
        if outcome.age not in entry.outcomes and len(entry.outcomes) >= _OUTCOMES:
            return
        entry.outcomes[outcome.age] = outcome
        entry.closed = entry.closed or outcome.final
        entry.note_count(outcome.age, outcome.count)
        for forecast in entry.all_forecasts():
            self._note_due(entry, outcome, forecast)

    @property
    def is_archive(self) -> bool:
        """Whether cascades have been forecast, and none of them is live any more."""
        if any(map(self._is_live, self._entries.values())):
            return False
        return any(entry.latest is not None for entry in self._entries.values())

    def ranked(self, sort: str, state: str, text: str, model: str) -> list[Entry]:
        """Forecast cascades that the filter lets through, the first first.

        Args:
            sort: one of `SORTS`.
            state: "live", whose forecast is fresh and its last horizon still to come; "closed",
                whose outcome is final; or "all".
            text: part of the identifier, upper or lower case.
            model: that answered last; empty for any.
        """
        text = text.lower()
        found = [
            entry
            for entry in self._entries.values()
            if entry.latest is not None
            and (state == "all" or (entry.closed if state == "closed" else self._is_live(entry)))
            and (not text or text in entry.cascade_id.lower())
            and (not model or entry.latest.model == model)
        ]
        return sorted(found, key=SORTS[sort], reverse=True)

    def row(self, entry: Entry) -> CascadeRow:
        """What a list shows of a cascade that has been forecast."""
        latest = entry.latest
        if latest is None:
            raise ValueError(f"{entry.cascade_id} has no forecast; only those that do are listed")
        return CascadeRow(
            entry.cascade_id, latest.published_at, entry.age, entry.count, entry.growth,
            entry.closed, latest.age, latest.horizons, latest.viral_probability, latest.viral_count,
            latest.model, latest.model_version, latest.degraded, len(entry.forecasts),
            entry.shape.curve(ROW_POINTS) if entry.shape else [], _outcomes(entry),
        )  # fmt: skip

    def cascade(self, cascade_id: str, nodes: int = GRAPH_NODES) -> Cascade | None:
        """All about one cascade; None where it is not held or has no forecast yet."""
        entry = self._entries.get(cascade_id)
        if entry is None or entry.latest is None:
            return None
        shape = entry.shape
        return Cascade(
            self.row(entry),
            shape.curve(CURVE_POINTS) if shape else [],
            sorted(entry.all_forecasts(), key=attrgetter("age")),
            _outcomes(entry),
            shape.graph(nodes) if shape else None,
            self.event_time,
        )

    def _note_due(
        self, entry: Entry, outcome: CascadeOutcome, forecast: PopularityForecast
    ) -> None:
        """Holds the forecast against the outcome, if it is the one to be held against it so far."""
        due = _due(outcome, forecast)
        if due is None:
            return
        before = entry.due.get(outcome.age)
        if before is not None and not _is_fairer(due.made_at_age, before[0], outcome.age):
            return
        entry.due[outcome.age] = due.made_at_age, due.inside
        self.due_total += before is None
        self.due_inside += due.inside - (before is not None and before[1])
        self.due[entry.cascade_id, outcome.age] = due
        if len(self.due) > _DUE:
            self.due.popitem(last=False)

    def _is_live(self, entry: Entry) -> bool:
        latest = entry.latest
        return (
            latest is not None
            and not entry.closed
            and bool(latest.horizons)
            and entry.seen_at > self.event_time - FORECAST_LIFE
            and latest.published_at + latest.horizons[-1].horizon > self.event_time
        )

    def _entry(self, cascade_id: str, event_time: float) -> Entry:
        entry = self._entries.get(cascade_id)
        if entry is None:
            if len(self._entries) >= self._limit:
                self._make_room()
            entry = self._entries[cascade_id] = Entry(cascade_id)
        entry.seen_at = max(entry.seen_at, event_time)
        self.event_time = max(self.event_time, event_time)
        return entry

    def _make_room(self) -> None:
        """Drops a tenth: looking for the one to drop at each new cascade would cost too much."""
        tenth = max(1, self._limit // 10)
        largest = heapq.nlargest(tenth, self._entries.values(), key=attrgetter("growth"))
        kept = {entry.cascade_id for entry in largest if self._is_live(entry)}
        candidates = (entry for entry in self._entries.values() if entry.cascade_id not in kept)
        # What was never forecast, and so is shown nowhere, goes first.
        oldest = heapq.nsmallest(
            tenth, candidates, key=lambda entry: (entry.latest is not None, entry.seen_at)
        )
        for entry in oldest:
            del self._entries[entry.cascade_id]


def _outcomes(entry: Entry) -> list[CascadeOutcome]:
    return sorted(entry.outcomes.values(), key=attrgetter("age"))


def _due(outcome: CascadeOutcome, forecast: PopularityForecast) -> DueForecast | None:
    """What the forecast said of the outcome's age, beside the outcome; None if it said nothing."""
    if forecast.age >= outcome.age:
        return None
    for ahead in forecast.horizons:
        if ahead.horizon == outcome.age:
            low, high = ahead.quantiles.p05, ahead.quantiles.p95
            return DueForecast(
                forecast.cascade_id, forecast.published_at, outcome.age, outcome.count,
                forecast.age, forecast.observed_count, ahead.expected, low, high,
                low <= outcome.count <= high, forecast.model, forecast.model_version,
            )  # fmt: skip
    return None


def _is_fairer(made: float, before: float, horizon: float) -> bool:
    """Whether a forecast made at age `made` is to be held against what came rather than another.

    The newest one made in the first half of the time is, for it had as much ahead as behind; where
    there is none, the first one.
    """
    half = horizon / 2
    if (made <= half) != (before <= half):
        return made <= half
    return made > before if made <= half else made < before
