"""A consumer group of which one member works, and another when that one is gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)


class AllToOne(AbstractPartitionAssignor):
    """Gives every partition to the member that comes first by its name."""

    name = "tidecast-all-to-one"
    version = 0

    @classmethod
    def assign(
        cls, cluster: object, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Gives all partitions to one member."""
        first = min(members)
        topics = sorted({topic for member in members.values() for topic in member.subscription})
        everything = [
            (topic, sorted(cluster.partitions_for_topic(topic) or ()))  # type: ignore[attr-defined]
            for topic in topics
        ]
        return {
            member: ConsumerProtocolMemberAssignment(
                cls.version, everything if member == first else [], b""
            )
            for member in members
        }

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What a member says of itself: its topics."""
        return ConsumerProtocolMemberMetadata(cls.version, list(topics), b"")

    @classmethod
    def on_assignment(cls, assignment: object) -> None:
        """Nothing depends on it."""
