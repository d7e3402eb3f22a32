"""Follows `cache.decisions` for one edge: all of its partition, from the start and then on.

The topic is compacted, so its start to its end is what is in force now. There is no consumer
group: a table lives in memory, and is read anew at each start of the agent. The partition holds
other edges too; what they are told is passed over by its key, undecoded.

While no broker answers the follower goes on trying, and the table grows stale, which is all that
the cache notices. Where the log has become another one (`stream.kafka.tail`: the topic was made
anew, or a broker has lost its latest records) the table is made anew of it: what the old one told
is obeyed no more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

import msgspec
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from stream.edge.metrics import Metrics
from stream.edge.news import News
from stream.edge.table import EdgeTable
from stream.kafka import broker
from stream.kafka.access.authorization import told
from stream.kafka.partitions import partition_hash
from stream.kafka.reader import reader
from stream.kafka.tail import Tail
from stream.settings import Settings
from topics.catalogue import CACHE_DECISIONS, decision_key
from topics.codecs import DecodeError
from topics.heartbeat import is_heartbeat
from topics.records import EdgeEpoch

log = logging.getLogger(__name__)

_POLL_MS = 500
_RECORDS = 2_000  # at once; in between, look-ups are answered
_RETRY_SECONDS = 1.0


class DecisionFollower:
    """Keeps a table in step with the topic.

    Args:
        settings: broker and edge.
        table: of the edge.
        metrics: counts records.
        news: told when the table has changed.
    """

    def __init__(self, settings: Settings, table: EdgeTable, metrics: Metrics, news: News) -> None:
        self._settings = settings
        self._table = table
        self._metrics = metrics
        self._news = news
        self._prefix = decision_key(settings.edge)[:-1]
        self._tail = Tail(settings)
        self._source: TopicPartition | None = None  # that the table is of

    async def run(self) -> None:
        """Follows until it is cancelled."""
        try:
            while True:
                try:
                    await self._follow()
                except (KafkaError, broker.BrokerError, OSError) as error:
                    reason = told(self._settings, error)
                    log.warning(
                        "%s cannot be read (%s); trying again", CACHE_DECISIONS.name, reason
                    )
                    await asyncio.sleep(_RETRY_SECONDS)
        finally:
            await self._tail.close()

    async def _follow(self) -> None:
        """Follows the edge's partition, until the topic may have others than it had."""
        partitions = await broker.partitions(self._settings, [CACHE_DECISIONS.name])
        number = partition_hash(self._settings.edge.encode()) % len(partitions)
        source = TopicPartition(CACHE_DECISIONS.name, number)
        if self._source not in (None, source):
            self._begin_anew()
        self._source = source
        consumer = reader(
            self._settings,
            auto_offset_reset="none",  # the tail says where
            max_partition_fetch_bytes=self._settings.fetch_bytes,
        )
        async with consumer:
            consumer.assign([source])
            end = (await consumer.end_offsets([source]))[source]
            self._tail.go_on(consumer, await consumer.beginning_offsets([source]))
            while True:
                fetched = await self._tail.fetch(
                    consumer, timeout_ms=_POLL_MS, max_records=_RECORDS
                )
                if fetched.begun_anew:
                    self._begin_anew()
                if fetched.begun_anew or fetched.absent:
                    return
                records = fetched.records.get(source, ())
                self.take_in(records)
                if self._table.expire(time.time()) or records:
                    self._news.tell()
                if not self._table.complete and await consumer.position(source) >= end:
                    self._table.complete = True
                    self._news.tell()
                    log.info("edge %s: %d decisions", self._settings.edge, len(self._table))

    def _begin_anew(self) -> None:
        self._table.begin_anew()
        self._news.tell()

    def take_in(self, records: Iterable[ConsumerRecord]) -> None:
        """Puts the records about this edge into the table; those about others are passed over."""
        prefix = self._prefix
        for record in records:
            key: bytes = record.key or b""
            # The edge's id is a whole JSON string, so what follows it ends the array or goes on.
            if not key.startswith(prefix):
                if is_heartbeat(record):
                    self._metrics.heartbeats.note(
                        CACHE_DECISIONS.name, record.partition, record.timestamp
                    )
                continue
            try:
                self._take_in_one(key, record.value)
            except (DecodeError, msgspec.DecodeError, UnicodeDecodeError) as error:
                self._metrics.bad_records.inc()
                log.error("%s offset %d: %s", CACHE_DECISIONS.name, record.offset, error)
                continue
            self._metrics.records.inc()

    def _take_in_one(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self._table.withdraw(msgspec.json.decode(key, type=tuple[str, str])[1])
            return
        content = CACHE_DECISIONS.codec.decode(value)
        if content.edge_id != self._settings.edge:
            raise DecodeError(f"the key names this edge, the record {content.edge_id!r}")
        if isinstance(content, EdgeEpoch):
            self._table.close(content, time.time())
        else:
            self._table.decide(content)
