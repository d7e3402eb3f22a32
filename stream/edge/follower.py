"""Follows `cache.decisions` for one edge: all of its partition, from the start and then on.

The topic is compacted, so its start to its end is what is in force now. There is no consumer
group: a table lives in memory, and is read anew at each start of the agent. The partition holds
other edges too; what they are told is passed over by its key, undecoded.

While no broker answers the follower goes on trying, and the table grows stale, which is all that
the cache notices. A broker that comes back having lost its latest records is read from its start:
what is in force is made again, and what it no longer knows of expires.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

import msgspec
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from stream import broker
from stream.edge.metrics import Metrics
from stream.edge.news import News
from stream.edge.table import EdgeTable
from stream.ranker import edge_number
from stream.reader import reader
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
        self._position: int | None = None  # of the next record

    async def run(self) -> None:
        """Follows until it is cancelled."""
        while True:
            try:
                await self._follow()
            except (KafkaError, broker.BrokerError, OSError) as error:
                log.warning("%s cannot be read (%s); trying again", CACHE_DECISIONS.name, error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self) -> None:
        partitions = await broker.partitions(self._settings, [CACHE_DECISIONS.name])
        number = edge_number(self._settings.edge) % len(partitions)
        source = TopicPartition(CACHE_DECISIONS.name, number)
        consumer = reader(
            self._settings,
            auto_offset_reset="earliest",  # the topic was made anew, or the broker has lost some
            max_partition_fetch_bytes=self._settings.fetch_bytes,
        )
        async with consumer:
            consumer.assign([source])
            end = (await consumer.end_offsets([source]))[source]
            if self._position is None or self._position > end:
                await consumer.seek_to_beginning(source)
            else:
                consumer.seek(source, self._position)
            while True:
                if not self._table.complete and await consumer.position(source) >= end:
                    self._table.complete = True
                    self._news.tell()
                    log.info("edge %s: %d decisions", self._settings.edge, len(self._table))
                fetched = await consumer.getmany(source, timeout_ms=_POLL_MS, max_records=_RECORDS)
                records = fetched.get(source, ())
                if records:
                    self.take_in(records)
                    self._position = records[-1].offset + 1
                if self._table.expire(time.time()) or records:
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
