"""Heartbeats as they come out of each stage: which have come through, and which stage keeps them.

A role passes heartbeats on to a topic that the gateway reads, so each topic tells of its writer:

    cascade.snapshots     the tracker          edge.windows       the historian
    popularity.forecasts  the forecaster       cache.decisions    the ranker
    forecast.scores       the scorer

A stage's heartbeat is the oldest of the latest of its partitions: one partition that is stuck
shows. Only heartbeats sent since the gateway's start count, and a stage is missed from the moment
that any stage has shown one: without a heart nobody misses anything.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from aiokafka import ConsumerRecord, TopicPartition

from stream.settings import Settings
from topics.catalogue import (
    CACHE_DECISIONS,
    CASCADE_SNAPSHOTS,
    EDGE_WINDOWS,
    FORECAST_SCORES,
    POPULARITY_FORECASTS,
    Topic,
)

HEART = "heart"
# The topic that tells of a role, and the role before it, in order of the flow.
STAGES = {
    "tracker": (CASCADE_SNAPSHOTS.name, None),
    "historian": (EDGE_WINDOWS.name, None),
    "forecaster": (POPULARITY_FORECASTS.name, "tracker"),
    "ranker": (CACHE_DECISIONS.name, "historian"),
    "scorer": (FORECAST_SCORES.name, "forecaster"),
}


class Passed(NamedTuple):
    """The latest heartbeat of a partition: when it was sent and how long it took to come out."""

    sent: float
    took: float


class Stage(NamedTuple):
    """A stage's heartbeat, of the partition where it is oldest.

    Attributes:
        since: unix seconds at which it was sent; where none has come, when it was first missed.
        took: seconds until the gateway had it; None where none has come.
    """

    partition: int
    since: float
    took: float | None


class Heartbeats:
    """Takes in heartbeats, topic by topic."""

    def __init__(self, settings: Settings) -> None:
        self._patience = settings.stale_after
        self._expected = settings.heartbeat > 0
        self._started = time.time()
        self._missed_from: float | None = None
        self._latest: dict[str, dict[int, Passed]] = {topic: {} for topic, _ in STAGES.values()}
        self._numbers: dict[str, set[int]] = {topic: set() for topic in self._latest}

    def expect(self, places: Iterable[TopicPartition]) -> None:
        """Says which partitions there are."""
        for place in places:
            if place.topic in self._numbers:
                self._numbers[place.topic].add(place.partition)

    def take(self, topic: Topic, heartbeats: Sequence[ConsumerRecord]) -> None:
        """Takes in heartbeats of a partition, in order."""
        now = time.time()
        for heartbeat in heartbeats:
            sent = heartbeat.timestamp / 1000
            if sent >= self._started and topic.name in self._latest:
                self._missed_from = self._missed_from or now
                self._numbers[topic.name].add(heartbeat.partition)
                self._latest[topic.name][heartbeat.partition] = Passed(sent, now - sent)

    def stage(self, role: str) -> Stage | None:
        """The heartbeat of a role; None where there is nothing to miss."""
        topic, _ = STAGES[role]
        if self._missed_from is None or not self._expected or not self._numbers[topic]:
            return None
        missing = Passed(self._missed_from, -1.0)
        latest = {
            number: self._latest[topic].get(number, missing) for number in self._numbers[topic]
        }
        number = min(latest, key=lambda number: latest[number].sent)
        found = latest[number]
        return Stage(number, found.sent, None if found is missing else found.took)

    def age(self, role: str) -> float:
        """Seconds since that heartbeat was sent; NaN where there is nothing to miss."""
        stage = self.stage(role)
        return float("nan") if stage is None else max(0.0, time.time() - stage.since)

    def stuck(self) -> dict[str, Stage]:
        """The roles that keep heartbeats: late ones, where the role before them is not late too.

        Where no role gets any, `HEART` is the one.
        """
        late = {
            role: stage
            for role in STAGES
            if (stage := self.stage(role)) is not None and self.age(role) > self._patience
        }
        firsts = [role for role, (_, before) in STAGES.items() if before is None]
        if all(role in late for role in firsts):
            return {HEART: min((late[role] for role in firsts), key=lambda stage: stage.since)}
        return {role: stage for role, stage in late.items() if STAGES[role][1] not in late}
