"""What a role publishes: results, dead letters of what it could not use, heartbeats passed on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aiokafka import ConsumerRecord

from stream.kafka.wire.batches import Unreadable
from stream.telemetry import traces
from topics.catalogue import DEAD_LETTERS, Topic
from topics.heartbeat import KEY

# Headers of a message that `tidecast dead-letters redrive` sent back: how often that was done, and
# the letter it was done from, partition/offset. If it fails again, its next letter has them too.
REDRIVEN = "redriven"
REDRIVEN_FROM = "redriven_from"
_LONGEST_MARK = 40  # bytes; a longer one is none of ours
# Bytes of a dead letter's key, value and message at most. It has to pass where its message did: but
# headers come on top of that, and it may be of a batch that unpacked to many times its size.
_LETTER_KEY, _LETTER_VALUE, _LETTER_MESSAGE = 100_000, 800_000, 4_000


@dataclass(frozen=True, slots=True)
class Output:
    """A message to publish.

    `timestamp_ms` is the Kafka timestamp of the message that caused it, so that readers further
    down can tell how long the way was.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: tuple[tuple[str, bytes], ...] = ()


class Timed(Protocol):
    """A message with its Kafka timestamp in milliseconds."""

    @property
    def timestamp(self) -> int:
        """Of the message, in milliseconds."""


def dead_letter(record: ConsumerRecord, role: str, error: str, message: str) -> Output:
    """The record as it came, with where it was from and what is wrong with it as headers.

    What is larger than a message may be is cut, which a header says. In place of records that
    cannot be read it holds their batch, and says so, whatever the caller made of those bytes.
    """
    key, value = record.key, record.value
    extent = {}
    if isinstance(value, Unreadable):
        error, message = value.error, value.told(record.topic, record.partition)
        extent = {"first_offset": str(value.first)}
        value = bytes(value)
    if len(key or b"") > _LETTER_KEY or len(value or b"") > _LETTER_VALUE:
        extent["cut"] = f"{len(key or b'')}/{len(value or b'')}"
        key = key and key[:_LETTER_KEY]
        value = value and value[:_LETTER_VALUE]
    headers = extent | {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "timestamp": str(record.timestamp),
        "role": role,
        "error": error,
        "message": message[:_LETTER_MESSAGE],
    }
    place = f"{record.topic}/{record.partition}/{record.offset}"
    marks = tuple(
        (name, mark)
        for name, mark in record.headers
        if name in (REDRIVEN, REDRIVEN_FROM) and mark and len(mark) <= _LONGEST_MARK
    )
    return Output(
        DEAD_LETTERS.name,
        key,
        value,
        _not_ahead(record.timestamp),
        (
            *((name, text.encode()) for name, text in headers.items()),
            (traces.TRACEPARENT, traces.of(record.headers, place)),
            *marks,
        ),
    )


def passed_on(heartbeats: Sequence[Timed], *topics: Topic) -> list[Output]:
    """Heartbeats as messages of each of the topics, as old as they are."""
    return [
        Output(topic.name, KEY, None, _not_ahead(heartbeat.timestamp))
        for heartbeat in heartbeats
        for topic in topics
    ]


def _not_ahead(timestamp_ms: int) -> int:
    """The timestamp, or now: brokers may refuse a later one, and with it all that the role does."""
    return min(timestamp_ms, round(time.time() * 1000))
