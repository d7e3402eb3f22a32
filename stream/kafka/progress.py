"""How far each role has come: committed offsets beside the ends of what it reads.

The roles in order of the flow matter: `Progress.drained` looks at the tracker before the
forecaster, so that what the tracker published meanwhile is still seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition

from stream.kafka import groups
from stream.kafka.access.security import connection
from stream.kafka.administrator import Administrator
from stream.kafka.broker import partitions
from stream.kafka.reader import reader
from stream.settings import Settings
from topics.catalogue import READS


@dataclass(frozen=True)
class Position:
    """A role on its topics, over all partitions: messages read since the start, and behind."""

    read: int
    lag: int


def reached(committed: int, begin: int, end: int) -> int:
    """How far a group has read a partition: what was trimmed unread does not count as lag.

    An offset beyond the end is of a log that is no more; of this one nothing has been read.

    Args:
        committed: its offset; negative where there is none.
        begin, end: of the log as it is now.
    """
    return begin if committed > end else max(committed, begin)


class Progress:
    """Asks the broker how far the roles are. Start it before the first message is sent."""

    def __init__(self, settings: Settings, roles: Mapping[str, Sequence[str]] = READS) -> None:
        self._settings = settings
        self._roles = roles
        self._partitions: dict[str, list[TopicPartition]] = {}
        self._start: dict[str, int] = {}

    async def start(self) -> None:
        """Connects, and notes where everything stands."""
        self._admin = Administrator(**connection(self._settings))
        self._consumer = reader(self._settings)
        await self._admin.start()
        await self._consumer.start()
        topics = [topic for read in self._roles.values() for topic in read]
        for partition in await partitions(self._settings, topics):
            self._partitions.setdefault(partition.topic, []).append(partition)
        for role in self._roles:
            committed, _ = await self._offsets(role)
            self._start[role] = committed

    async def stop(self) -> None:
        """Disconnects."""
        await self._consumer.stop()
        await self._admin.close()

    async def of(self, role: str) -> Position:
        """Where a role is on what it reads."""
        committed, end = await self._offsets(role)
        return Position(committed - self._start[role], end - committed)

    async def drained(self) -> bool:
        """Whether every role has read all there is, those upstream asked first."""
        for role in self._roles:
            if (await self.of(role)).lag > 0:
                return False
        return True

    async def _offsets(self, role: str) -> tuple[int, int]:
        """Sums of what has been reached and of end offsets."""
        own = [tp for topic in self._roles[role] for tp in self._partitions[topic]]
        listed = await groups.committed(self._admin, self._settings.group(role))
        begins = await self._consumer.beginning_offsets(own)
        ends = await self._consumer.end_offsets(own)
        committed = 0
        for partition in own:
            offset = listed.get(partition, -1)
            committed += reached(offset, begins[partition], ends[partition])
        return committed, sum(ends.values())
