"""A topic of one partition that every worker needs all of: what it holds, then what comes.

There is no consumer group. The topic is small and compacted: each worker reads all of it at its
start, then follows it in a thread of its own, whose event loop may wait while the role goes on.
A log that has become another one (`stream.kafka.tail`) is given from its beginning.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from stream.kafka import broker
from stream.kafka.access.authorization import told
from stream.kafka.past import END, TakeIn, reread
from stream.kafka.reader import reader
from stream.kafka.tail import Tail
from stream.settings import Settings
from topics.catalogue import Topic

log = logging.getLogger(__name__)

_POLL_MS = 200  # how soon a stop is noticed
_IDLE_SECONDS = 0.25  # between two looks at a topic that is nearly always idle
_RETRY_SECONDS = 1.0


class Watch:
    """Gives the records of a topic to a function: those there are at once, others once started.

    Args:
        settings: the broker.
        topic: of one partition.
        take_in: called in this thread now, in the watch's own later.

    Raises:
        BrokerError: no broker answers, or the topic is missing, for as long as `broker_patience`.
    """

    def __init__(self, settings: Settings, topic: Topic, take_in: TakeIn) -> None:
        self._settings = settings
        self._topic = topic
        self._take_in = take_in
        self._source = TopicPartition(topic.name, 0)
        self._tail = Tail(settings)
        self._stopped = threading.Event()
        asyncio.run(broker.await_topics(settings, [topic.name], f"reader of {topic.name}"))
        reread(settings, topic, 0, 0, END, self._take)

    def start(self) -> None:
        """Goes on with the records that come from now on, in a thread."""
        name = f"watch-{self._topic.name}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def stop(self) -> None:
        """Gives no more; what is being taken is not waited for."""
        self._stopped.set()

    def _take(self, records: Sequence[ConsumerRecord]) -> None:
        self._take_in(records)
        self._tail.come_to(self._source, records)

    def _run(self) -> None:
        asyncio.run(self._keep_following())

    async def _keep_following(self) -> None:
        while not self._stopped.is_set():
            try:
                await self._follow()
            except (KafkaError, OSError) as error:
                reason = told(self._settings, error)
                log.warning("%s cannot be read (%s); trying again", self._topic.name, reason)
                await asyncio.sleep(_RETRY_SECONDS)
        await self._tail.close()

    async def _follow(self) -> None:
        consumer = reader(
            self._settings,
            idle_seconds=_IDLE_SECONDS,
            auto_offset_reset="none",  # the tail says where
        )
        async with consumer:
            consumer.assign([self._source])
            self._tail.go_on(consumer, await consumer.beginning_offsets([self._source]))
            while not self._stopped.is_set():
                fetched = await self._tail.fetch(consumer, timeout_ms=_POLL_MS)
                for records in fetched.records.values():
                    self._take_in(records)
