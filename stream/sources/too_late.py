"""Refuses to send what begins before the event time that its topic has reached already.

Roles close cascades and windows by the latest event time of a partition. What is older than that by
more than the allowed lateness finds them closed: a cascade would get an outcome of the few events
that come before its first trigger, and the rest be dropped.

    TooLateError(SourceError)    says up to when there are messages, and where a source may go
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream.kafka.broker import BrokerError, partitions
from stream.kafka.reader import reader
from stream.settings import Settings
from stream.sources.messages import Source, SourceError
from topics.catalogue import CATALOGUE
from topics.codecs import DecodeError

# Messages at the end of a partition among which the latest event time is looked for. Where they are
# heartbeats alone, more is read.
_TAIL = 1_000
_MORE = 8


class TooLateError(SourceError):
    """What is to be sent is older than what its topic holds."""


async def refuse_if_too_late(source: Source, settings: Settings, way_out: str) -> None:
    """Compares the beginning of a source with the latest event times of its topics.

    Args:
        source: to be sent.
        settings: the broker, and the allowed lateness.
        way_out: what to do instead; `{after}` stands for the latest event time, as options take it.

    Raises:
        TooLateError: it begins too early.
        BrokerError: no broker answers, or a topic is missing.
    """
    for topic, begins in source.begins.items():
        reached = await latest_event_time(settings, topic)
        if reached is None or begins >= reached - settings.allowed_lateness:
            continue
        raise TooLateError(
            f"{source.name} begins at {_moment(begins)}, but {topic} on {settings.kafka} has been "
            f"sent messages up to {_moment(reached)}. What is older than those by more than "
            f"{settings.allowed_lateness:g} s comes too late: it would be dropped, or counted in "
            f"part. {way_out.format(after=_moment(reached + 1))}, or send it all the same with "
            "--force"
        )


async def latest_event_time(settings: Settings, topic: str) -> float | None:
    """The latest event time near the end of any partition of a topic; None where there is none.

    Messages of the future are left out: roles refuse them.
    """
    places = await partitions(settings, [topic])
    consumer = reader(
        settings,
        auto_offset_reset="earliest",  # what is gone is passed over
    )
    try:
        async with asyncio.timeout(settings.broker_patience), consumer:
            consumer.assign(places)
            first = await consumer.beginning_offsets(places)
            end = await consumer.end_offsets(places)
            found = [await _near_the_end(consumer, p, first[p], end[p], settings) for p in places]
    except (KafkaError, TimeoutError) as error:
        raise BrokerError(
            f"{settings.kafka} did not say how far {topic} has come ({error or 'no answer'})"
        ) from error
    return max((moment for moment in found if moment is not None), default=None)


async def _near_the_end(
    consumer: AIOKafkaConsumer, place: TopicPartition, first: int, end: int, settings: Settings
) -> float | None:
    """The latest event time among the last messages of a partition that have one."""
    decode = CATALOGUE[place.topic].codec.decode
    span = _TAIL
    while end > first:
        begin = max(first, end - span)
        consumer.seek(place, begin)
        moments = []
        while await consumer.position(place) < end:
            fetched = await consumer.getmany(place, timeout_ms=200)
            for record in fetched.get(place, ()):
                if record.value is None or record.offset >= end:
                    continue
                try:
                    moment: float = decode(record.value).timestamp
                except DecodeError:
                    continue
                if moment <= time.time() + settings.clock_skew:
                    moments.append(moment)
        if moments:
            return max(moments)
        end, span = begin, span * _MORE
    return None


def _moment(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%S")
