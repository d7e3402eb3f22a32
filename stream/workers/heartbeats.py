"""What a role does with heartbeats: passes them on, and tells how old they were when it had.

    fetched -> outputs of what came before them -> the heartbeat, to the partition of its number
            -> acknowledged, committed -> noted

So an age is that of a message that has come through every stage up to here, and a heartbeat that
is missing says that something on that partition's way is. State and forecasts are made of records
alone: with heartbeats among them or without, they are the same byte for byte.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TypeVar

from prometheus_client import CollectorRegistry, Gauge

from topics.heartbeat import Message, is_heartbeat

M = TypeVar("M", bound=Message)


def parted(messages: Iterable[M]) -> tuple[list[M], list[M]]:
    """The messages that are none, and the heartbeats; each in order."""
    others: list[M] = []
    heartbeats: list[M] = []
    for message in messages:
        (heartbeats if is_heartbeat(message) else others).append(message)
    return others, heartbeats


class Passed:
    """Exports how old heartbeats were when a role had passed them on, and when that was."""

    def __init__(self, role: str, registry: CollectorRegistry) -> None:
        labels = ["role", "topic", "partition"]
        self._role = role
        self._age = Gauge(
            "tidecast_heartbeat_age_seconds",
            "Age of the latest heartbeat when it had passed this stage",
            labels, registry=registry,
        )  # fmt: skip
        self._at = Gauge(
            "tidecast_heartbeat_passed_timestamp_seconds",
            "When the latest heartbeat had passed this stage, unix time",
            labels, registry=registry,
        )  # fmt: skip

    def note(self, topic: str, partition: int, timestamp_ms: int) -> None:
        """A heartbeat of that partition of the topic that the role reads has passed."""
        now = time.time()
        self._age.labels(self._role, topic, partition).set(now - timestamp_ms / 1000)
        self._at.labels(self._role, topic, partition).set(now)
