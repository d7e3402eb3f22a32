"""Whether what belongs together lies in one partition, as the outputs of the roles tell.

Tracker and historian write what they make of a partition to the partition of its number. So a
cascade with snapshots in two of them, or an edge with windows in two, was counted twice over, each
time from a part of it. Only here all partitions come together: whatever the cause (no key, another
partitioner, partitions that were added), this is where it shows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from aiokafka import ConsumerRecord

from stream.telemetry.noticed import LATELY
from stream.telemetry.notices import Notices
from topics.catalogue import CASCADE_SNAPSHOTS, EDGE_REQUESTS, EDGE_WINDOWS, SOCIAL_EVENTS, Topic

# The topic that tells, what its keys name, and the topic that is told of.
_TELLS = {
    CASCADE_SNAPSHOTS.name: ("cascade", SOCIAL_EVENTS),
    EDGE_WINDOWS.name: ("edge", EDGE_REQUESTS),
}


class Places:
    """Remembers the partition of each cascade and edge, and notes those that have two.

    Args:
        limit: cascades and edges remembered, the newest ones.
        notices: takes note.
    """

    def __init__(self, limit: int, notices: Notices) -> None:
        self._limit = limit
        self._notices = notices
        self._partitions: dict[tuple[str, bytes], int] = {}

    def take(self, topic: Topic, records: Sequence[ConsumerRecord]) -> None:
        """Takes in the next messages of a partition; those of long ago are news no longer."""
        since = (time.time() - LATELY) * 1000
        for record in records:
            if record.key is None or record.timestamp < since:
                continue
            place = topic.name, record.key
            earlier = self._partitions.setdefault(place, record.partition)
            if len(self._partitions) > self._limit:
                del self._partitions[next(iter(self._partitions))]
            if earlier != record.partition:
                self._note(topic, record, earlier)

    def _note(self, topic: Topic, record: ConsumerRecord, earlier: int) -> None:
        what, source = _TELLS[topic.name]
        name = record.key.decode(errors="replace")
        self._notices.note(
            "scattered", source.name, record.partition,
            f"The {what} {name!r} lies in partition {earlier} and in partition "
            f"{record.partition}: each counts its own share, and what they say of the one "
            f"{what} contradicts each other.",
        )  # fmt: skip
