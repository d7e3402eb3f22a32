"""What a role publishes: results, dead letters of what it could not use, heartbeats passed on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
_CUT = "cut"  # the header that says how long key and value were
_VARINTS = 10  # bytes that lengths may take beside what they are of
# The error of a letter whose message was not too large for a role, but for the topic it goes to.
TOO_LARGE = "TooLargeError"


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
    value = record.value
    headers: dict[str, str | int] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
    }
    if isinstance(value, Unreadable):
        error, message = value.error, value.told(record.topic, record.partition)
        headers["first_offset"] = value.first
        value = bytes(value)
    marks = [
        (name, mark)
        for name, mark in record.headers
        if name in (REDRIVEN, REDRIVEN_FROM) and mark and len(mark) <= _LONGEST_MARK
    ]
    headers |= {"timestamp": record.timestamp, "role": role, "error": error, "message": message}
    place = f"{record.topic}/{record.partition}/{record.offset}"
    trace = (traces.TRACEPARENT, traces.of(record.headers, place))
    stamp = _not_ahead(record.timestamp)
    return _letter(record.key, value, stamp, headers, [trace, *marks])


def too_large(output: Output, number: int, role: str, size: int, limit: int | None) -> Output:
    """The dead letter of a message that its topic does not take, for its size.

    Args:
        number: of the partition that it belongs to.
        size: bytes that it takes on the broker.
        limit: what the topic takes; None where that is not known.
    """
    most = "less, and does not tell how much" if limit is None else f"at most {limit}"
    headers: dict[str, str | int] = {
        "topic": output.topic,
        "partition": number,
        "timestamp": output.timestamp_ms,
        "role": role,
        "error": TOO_LARGE,
        "message": f"the message takes {size} bytes; {output.topic} takes {most} "
        "(max.message.bytes), so it was not published. Raise that of the topic",
    }
    place = f"{output.topic}/{number}/{output.timestamp_ms}"
    trace = (traces.TRACEPARENT, traces.of(output.headers, place))
    return _letter(output.key, output.value, output.timestamp_ms, headers, [trace])


def shortened(letter: Output, by: int) -> Output | None:
    """A dead letter that takes so many bytes less, by its value and then its key; None: it has not.

    Args:
        by: bytes, above 0.
    """
    key, value = letter.key or b"", letter.value or b""
    by += len(_CUT) + len(f"{len(key)}/{len(value)}") + _VARINTS
    if by > len(key) + len(value):
        return None
    left = max(0, len(value) - by)
    headers = letter.headers
    if all(name != _CUT for name, _ in headers):
        headers = ((_CUT, f"{len(key)}/{len(value)}".encode()), *headers)
    return replace(
        letter,
        value=value[:left],
        key=letter.key and key[: len(key) - max(0, by - len(value))],
        headers=headers,
    )


def _letter(
    key: bytes | None,
    value: bytes | None,
    stamp: int,
    told: Mapping[str, str | int],
    more: Sequence[tuple[str, bytes]],
) -> Output:
    """A dead letter whose headers say what is told, and more."""
    texts = {name: str(text) for name, text in told.items()}
    texts["message"] = texts["message"][:_LETTER_MESSAGE]
    if len(key or b"") > _LETTER_KEY or len(value or b"") > _LETTER_VALUE:
        texts = {_CUT: f"{len(key or b'')}/{len(value or b'')}"} | texts
        key = key and key[:_LETTER_KEY]
        value = value and value[:_LETTER_VALUE]
    headers = [(name, text.encode()) for name, text in texts.items()]
    return Output(DEAD_LETTERS.name, key, value, stamp, (*headers, *more))


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
