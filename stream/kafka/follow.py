"""Reads topics as any subscriber would: every partition, without a group, from a stated place.

start -> (what was there already) -> caught up -> (what comes) -> stop

A partition whose log becomes another one is read from its beginning (`stream.kafka.tail`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from stream.kafka.broker import partitions, retried
from stream.kafka.reader import reader
from stream.kafka.tail import Tail
from stream.settings import Settings
from topics.catalogue import CATALOGUE, Topic

_POLL_MS = 200

# Takes in the next records of one partition of the topic.
Take = Callable[[Topic, Sequence[ConsumerRecord]], None]


class Follower:
    """Follows topics and gives what they hold to `take`.

    Args:
        settings: the broker.
        topics: what to read.
        take: called with the records of one partition at a time, in order.
        past: seconds of the past, by Kafka's timestamps, that are read first; None begins at the
            end. A topic that keeps its records for ever is read from its beginning.
        records: of one call of `take` at most.
    """

    def __init__(
        self,
        settings: Settings,
        topics: Sequence[Topic],
        take: Take,
        *,
        past: float | None = None,
        records: int = 2_000,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._take = take
        self._past = past
        self._records = records
        self._tail = Tail(settings)
        self._first: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._left: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        """Connects and takes its place on each partition.

        Raises:
            BrokerError: no broker answers, or a topic is missing.
            KafkaError: brokers refuse, or have not answered for as long as `broker_patience`.
        """
        deadline = time.monotonic() + self._settings.broker_patience
        await retried(
            self._begin, "no place on the topics is found yet", lambda: time.monotonic() > deadline
        )

    async def _begin(self) -> None:
        assigned = await partitions(self._settings, [topic.name for topic in self._topics])
        self._consumer = reader(
            self._settings,
            max_poll_records=self._records,
            auto_offset_reset="none",  # the tail says where
        )
        try:
            await self._consumer.start()
            self._consumer.assign(assigned)
            self._ends = await self._consumer.end_offsets(assigned)
            self._first = await self._places(assigned)
            self._left = {
                place: max(0, self._ends[place] - self._first[place]) for place in assigned
            }
            self._tail.go_on(self._consumer, self._first)
        except KafkaError:
            await self._consumer.stop()
            raise

    async def stop(self) -> None:
        """Disconnects."""
        await self._tail.close()
        await self._consumer.stop()

    async def follow(self) -> None:
        """Reads until it is cancelled."""
        while True:
            fetched = await self._tail.fetch(self._consumer, timeout_ms=_POLL_MS)
            for place in fetched.begun_anew:
                self._ends[place] = self._first[place] = self._left[place] = 0
            for place, records in fetched.records.items():
                self._take(CATALOGUE[place.topic], records)
                await asyncio.sleep(0)
            for place in [place for place, left in self._left.items() if left]:
                self._left[place] = max(0, self._ends[place] - await self._consumer.position(place))

    async def caught_up(self) -> bool:
        """Whether all that is on the topics now has been taken in."""
        ends = await self._consumer.end_offsets(list(self._ends))
        for place, end in ends.items():
            if await self._consumer.position(place) < end:
                return False
        return True

    @property
    def partitions(self) -> list[TopicPartition]:
        """Those that are followed."""
        return list(self._ends)

    @property
    def done(self) -> float:
        """Share read of what was there at the start, 0 to 1; 1 from then on."""
        there = sum(self._ends[place] - self._first[place] for place in self._ends)
        left = sum(self._left.values())
        return 1.0 - left / there if left else 1.0

    async def _places(self, assigned: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset from which each partition is read."""
        if self._past is None:
            return dict(self._ends)
        places = dict(await self._consumer.beginning_offsets(assigned))
        since = round((time.time() - self._past) * 1000)
        timed = [place for place in assigned if CATALOGUE[place.topic].retention_ms is not None]
        found = await self._consumer.offsets_for_times(dict.fromkeys(timed, since))
        for place, at in found.items():
            # Nothing is that new: all of it is older.
            places[place] = self._ends[place] if at is None else max(places[place], at.offset)
        return places
