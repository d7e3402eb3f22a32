"""What a partition held before a worker was given it: read again to rebuild state."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from stream.kafka.broker import may_pass
from stream.kafka.reader import reader
from stream.settings import Settings
from topics.catalogue import Topic
from topics.codecs import DecodeError

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
# An offset that no partition reaches.
END = 1 << 62
# Takes in the next records of the partition.
TakeIn = Callable[[Sequence[ConsumerRecord]], None]


def decoded(topic: Topic, messages: Iterable[ConsumerRecord]) -> Iterator[Any]:
    """The records in messages; what is none is told of in the log and passed over.

    Args:
        topic: that they are of. Heartbeats, and records that were taken back, have no value.
    """
    for message in messages:
        if message.value is None:
            continue
        try:
            yield topic.codec.decode(message.value)
        except DecodeError as error:
            log.warning(
                "%s/%d at %d is no record and is passed over: %s",
                topic.name, message.partition, message.offset, error,
            )  # fmt: skip


def reread(
    settings: Settings, topic: Topic, partition: int, start: int, end: int, take_in: TakeIn
) -> int:
    """Gives the records of a partition from offset `start` up to before `end` to `take_in`.

    Retention may have removed the first of them. For a thread that has no event loop.

    Returns:
        how many records there were.

    Raises:
        KafkaError: the broker refuses, or has not answered for as long as `broker_patience`.
    """
    return asyncio.run(reread_here(settings, topic, partition, start, end, take_in))


async def reread_here(
    settings: Settings, topic: Topic, partition: int, start: int, end: int, take_in: TakeIn
) -> int:
    """`reread` in an event loop that runs already."""
    count = 0
    deadline = time.monotonic() + settings.broker_patience
    while True:
        try:
            async for records in batches(settings, topic, partition, start, end):
                take_in(records)
                count += len(records)
                start = records[-1].offset + 1
                deadline = time.monotonic() + settings.broker_patience
            return count
        except KafkaError as error:
            if not may_pass(error) or time.monotonic() > deadline:
                raise
            log.warning("reading %s/%d from %d failed (%s); trying again",
                        topic.name, partition, start, error)  # fmt: skip
            await asyncio.sleep(_RETRY_SECONDS)


async def batches(
    settings: Settings, topic: Topic, partition: int, start: int, end: int
) -> AsyncGenerator[list[ConsumerRecord], None]:
    """The records of a partition from offset `start` up to before `end`, as they are fetched.

    It ends with what the partition held when it began. Whoever leaves it early closes it
    (`contextlib.aclosing`).
    """
    source = TopicPartition(topic.name, partition)
    consumer = reader(
        settings,
        auto_offset_reset="earliest",  # what is gone is passed over
        max_partition_fetch_bytes=settings.fetch_bytes,
    )
    async with consumer:
        consumer.assign([source])
        first = (await consumer.beginning_offsets([source]))[source]
        last = (await consumer.end_offsets([source]))[source]
        consumer.seek(source, max(start, first))
        while await consumer.position(source) < min(end, last):
            fetched = await consumer.getmany(source, timeout_ms=200)
            records = [record for record in fetched.get(source, ()) if record.offset < end]
            if records:
                yield records
