"""Whether a log is still the one that was read.

    the mark of the last record before a place (`stream.kafka.marks`) ── what lies there now?
        the same record                           SAME
        another one, or the log ends before it    OTHER: made anew, restored, or cut off
        none any more (retention, compaction)     UNKNOWN: nobody can tell
        there is no such partition                ABSENT

The end that a broker states is not asked where the record can be: after a change of leaders it may
lag for a moment behind what was read already.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError, OffsetOutOfRangeError

from stream.kafka.marks import Mark, Point
from stream.kafka.reader import is_there, reader
from stream.settings import Settings
from topics.catalogue import CATALOGUE

_POLL_MS = 100
_PATIENCE = 2.0  # seconds for a record that a new leader may not show yet
# Enough for most producers' batches of every partition at once; of a larger one a fetch brings one.
_FETCH_BYTES = 64 << 10


class Verdict(enum.Enum):
    """What became of the log that a place was in."""

    SAME = "the same"
    OTHER = "another one"
    UNKNOWN = "nobody can tell"
    ABSENT = "not there"


class Logs:
    """Looks at logs beside a role that reads them, by a connection of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None

    async def __aenter__(self) -> Logs:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnects, where it was connected."""
        if self._consumer is not None:
            await self._consumer.stop()
            self._consumer = None

    async def look(self, points: Mapping[TopicPartition, Point]) -> dict[TopicPartition, Verdict]:
        """Of each partition, whether its log is the one that the point is in.

        Raises:
            KafkaError: the broker does not answer.
        """
        if not points:
            return {}
        consumer = await self._connected()
        marks = {source: point.mark for source, point in points.items() if point.mark is not None}
        consumer.assign(list(points))
        try:
            consumer.pause(*(source for source in points if source not in marks))
            for source, mark in marks.items():
                consumer.seek(source, mark.offset)
            verdicts = await self._compared(consumer, marks)
            left = [source for source in points if source not in verdicts]
            ends = await self._bounds(consumer, left, "end_offsets")
            return verdicts | {s: _by_its_end(points[s], ends.get(s)) for s in left}
        finally:
            consumer.assign([])  # it fetches nothing until the next look

    async def firsts(self, sources: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The offsets that the logs begin at, of those of the partitions that there are.

        Raises:
            KafkaError: the broker does not answer.
        """
        return await self._bounds(await self._connected(), list(sources), "beginning_offsets")

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = reader(
                self._settings,
                auto_offset_reset="none",
                max_partition_fetch_bytes=_FETCH_BYTES,
                isolation_level="read_uncommitted",  # the log's end, wherever reading it ends
            )
            await consumer.start()
            self._consumer = consumer
        return self._consumer

    async def _compared(
        self, consumer: AIOKafkaConsumer, marks: Mapping[TopicPartition, Mark]
    ) -> dict[TopicPartition, Verdict]:
        """The verdicts on partitions that show what lies at the mark, or that nothing can."""
        verdicts: dict[TopicPartition, Verdict] = {}
        deadline = time.monotonic() + _PATIENCE
        while len(verdicts) < len(marks) and time.monotonic() < deadline:
            left = [source for source in marks if source not in verdicts]
            try:
                fetched = await consumer.getmany(*left, timeout_ms=_POLL_MS, max_records=len(left))
            except OffsetOutOfRangeError as error:
                firsts = await self._bounds(consumer, list(error.args[0]), "beginning_offsets")
                for source, first in firsts.items():
                    below = marks[source].offset < first
                    verdicts[source] = Verdict.UNKNOWN if below else Verdict.OTHER
                    consumer.pause(source)
                continue
            for source, records in fetched.items():
                verdicts[source] = _compared(source, marks[source], Mark.of(records[0]))
                consumer.pause(source)
        return verdicts

    async def _bounds(
        self, consumer: AIOKafkaConsumer, sources: Sequence[TopicPartition], which: str
    ) -> dict[TopicPartition, int]:
        """Beginnings or ends of those that there are; of others aiokafka would ask for ever."""
        while sources:
            try:
                async with asyncio.timeout(_PATIENCE):
                    return dict(await getattr(consumer, which)(sources))
            except TimeoutError as error:
                there = [source for source in sources if is_there(consumer, source)]
                if len(there) == len(sources):
                    raise KafkaTimeoutError(f"got no {which} of {there} in time") from error
                sources = there
        return {}


async def look(
    settings: Settings, points: Mapping[TopicPartition, Point]
) -> dict[TopicPartition, Verdict]:
    """`Logs.look` once."""
    async with Logs(settings) as logs:
        return await logs.look(points)


def others(verdicts: Mapping[TopicPartition, Verdict]) -> set[TopicPartition]:
    """The partitions whose log is another one."""
    return {source for source, verdict in verdicts.items() if verdict is Verdict.OTHER}


def _compared(source: TopicPartition, mark: Mark, found: Mark) -> Verdict:
    """What the first record at or behind a mark's offset says of the log."""
    if found == mark:
        return Verdict.SAME
    topic = CATALOGUE.get(source.topic)
    if found.offset > mark.offset and (topic is None or "compact" in topic.cleanup):
        return Verdict.UNKNOWN
    return Verdict.OTHER


def _by_its_end(point: Point, end: int | None) -> Verdict:
    """The verdict where no record is shown at the mark, or there is no mark."""
    if end is None:
        return Verdict.ABSENT
    reach = point.offset if point.mark is None else point.mark.offset + 1
    return Verdict.OTHER if reach > end else Verdict.UNKNOWN
