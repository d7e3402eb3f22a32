"""Reads logs on and on without a consumer group, also where they become other logs.

    records come      the log that was read so far? looked at once a second, before they are given
    nothing comes     the same once in ten seconds
    out of range      the same at once

A log that is another one (`stream.kafka.logs`) is read from its beginning, which is told once; so
is one whose next records were removed before they were read. What was made of the other log is its
reader's to forget.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from stream.kafka.broker import may_pass
from stream.kafka.logs import Logs, Verdict, others
from stream.kafka.marks import Point
from stream.settings import Settings

log = logging.getLogger(__name__)

TRUSTED_SECONDS = 1.0  # how long a log that was looked at is believed to be the same
IDLE_SECONDS = 10.0  # the same where no record comes
_RETRY_SECONDS = 1.0


class Fetched(NamedTuple):
    """What a fetch brought.

    Attributes:
        records: the next ones.
        begun_anew: partitions whose log is another one; of its records there are none yet.
        absent: partitions that the topic has not, as far as was looked; they are waited for.
    """

    records: Mapping[TopicPartition, Sequence[ConsumerRecord]]
    begun_anew: Collection[TopicPartition] = ()
    absent: Collection[TopicPartition] = ()


class Tail:
    """Where a reader is on each partition, whatever consumer it reads with.

    A consumer has `auto_offset_reset="none"`, and is sent to its places by `go_on` alone.
    """

    def __init__(self, settings: Settings) -> None:
        self._logs = Logs(settings)
        self._points: dict[TopicPartition, Point] = {}
        self._looked_at: dict[TopicPartition, float] = {}  # monotonic

    async def close(self) -> None:
        """Disconnects what looks at logs."""
        await self._logs.close()

    def come_to(self, source: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        """Notes that the records are read."""
        self._points[source] = Point.after(records[-1])

    def go_on(self, consumer: AIOKafkaConsumer, places: Mapping[TopicPartition, int]) -> None:
        """Sends a consumer to where each partition is read on.

        Args:
            places: offsets, of partitions that are assigned to it; each holds where nothing of the
                partition has been read.
        """
        self._points = {
            source: self._points.get(source, Point(offset)) for source, offset in places.items()
        }
        # Nobody knows what became of them meanwhile.
        self._looked_at = dict.fromkeys(places, -math.inf)
        for source, point in self._points.items():
            consumer.seek(source, point.offset)

    async def fetch(
        self, consumer: AIOKafkaConsumer, *, timeout_ms: int, max_records: int | None = None
    ) -> Fetched:
        """The next records of all partitions; none where it cannot be told what they are of.

        Raises:
            KafkaError: the broker refuses.
        """
        refused: set[TopicPartition] = set()
        fetched: dict[TopicPartition, list[ConsumerRecord]] = {}
        try:
            fetched = await consumer.getmany(timeout_ms=timeout_ms, max_records=max_records)
        except OffsetOutOfRangeError as error:
            refused = set(error.args[0])
        try:
            begun_anew, absent = await self._look(consumer, fetched, refused)
        except KafkaError as error:
            if not may_pass(error):
                raise
            log.warning("logs could not be looked at (%s); what came is read again", error)
            for source, records in fetched.items():
                consumer.seek(source, records[0].offset)
            await asyncio.sleep(_RETRY_SECONDS)
            return Fetched({})
        for source, records in fetched.items():
            self.come_to(source, records)
        return Fetched(fetched, begun_anew, absent)

    async def _look(
        self,
        consumer: AIOKafkaConsumer,
        fetched: dict[TopicPartition, list[ConsumerRecord]],
        refused: set[TopicPartition],
    ) -> tuple[set[TopicPartition], set[TopicPartition]]:
        """Begins other logs anew, and takes out of what was fetched what was of them.

        Returns:
            the partitions that were begun anew, and those that there are not.
        """
        now = time.monotonic()
        due = {
            source: point
            for source, point in self._points.items()
            if source in refused
            or now - self._looked_at[source]
            > (TRUSTED_SECONDS if source in fetched else IDLE_SECONDS)
        }
        if not due:
            return set(), set()
        verdicts = await self._logs.look(due)
        replaced = others(verdicts)
        firsts = await self._logs.firsts(replaced | refused)
        self._looked_at |= dict.fromkeys(due, now)
        for source, first in firsts.items():
            was = due[source].offset
            if source in replaced:
                log.warning("%s/%d is another log than that which was read up to offset %d; it is "
                            "read from its beginning, offset %d", *source, was, first)  # fmt: skip
            elif was < first:
                log.warning("%s/%d: records %d to %d are gone before they were read",
                            *source, was, first - 1)  # fmt: skip
            else:
                continue  # as a new leader may answer for a moment
            fetched.pop(source, None)
            self._points[source] = Point(first)
            consumer.seek(source, first)
        absent = {source for source, verdict in verdicts.items() if verdict is Verdict.ABSENT}
        return replaced & firsts.keys(), absent
