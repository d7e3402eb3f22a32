"""Whether messages have the key that keeps what belongs together in one partition.

A partition counts what lies in it. Events of one cascade (requests of one edge) that have no key,
or not all the same one, lie in several, and each of those partitions says something of its own
under the one id. Nothing in such a message is wrong by itself, so it is counted as it lies, and
noticed.

Of a long batch some messages are looked at, and all of them once there is one among those: what is
well costs next to nothing, and of what is not all is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import msgspec
from aiokafka import ConsumerRecord

from stream.telemetry.notices import Noticed
from topics.catalogue import Topic
from topics.likeness import schema_id

_LOOKED_AT = 32  # of a batch, spread over it
_SHOWN = 60  # characters of a key
# What comes of it, by the field that should be the key.
COMES_OF_IT = {
    "cascade_id": "A cascade whose events lie in several partitions is counted in each for itself: "
    "snapshots and forecasts under one id contradict each other, and outcomes are too low",
    "edge_id": "An edge whose requests lie in several partitions has windows of each for itself: "
    "its decisions are made from parts of its requests, and contradict each other",
}


def noticed(
    messages: Sequence[ConsumerRecord], records: Sequence[Any], topic: Topic
) -> list[Noticed]:
    """What is to be noticed about the keys of a batch of the topic.

    Args:
        messages: as they came.
        records: what is in them, one for each.
    """
    step = max(1, len(messages) // _LOOKED_AT)
    # Not always the same places, or who sends in turns might never be looked at.
    some = slice(messages[0].offset % step if messages else 0, None, step)
    id_of = attrgetter(topic.key)
    if not _misplaced(messages[some], records[some], id_of):
        return []
    found = _misplaced(messages, records, id_of)
    without = [message for message, _ in found if message.key is None]
    others = [(message, record) for message, record in found if message.key is not None]
    notices = []
    if without:
        told = f"{_of(len(without), messages)} no key. {COMES_OF_IT[topic.key]}."
        notices.append(Noticed("no_key", told, len(without), without[-1].offset))
    if others:
        message, record = others[-1]
        told = (
            f"{_of(len(others), messages)} a key that is not their {topic.key}; the latest "
            f"{likeness(message.key or b'', record, topic.key)}. {COMES_OF_IT[topic.key]}."
        )
        notices.append(Noticed("foreign_key", told, len(others), message.offset))
    return notices


def _misplaced(
    messages: Sequence[ConsumerRecord], records: Sequence[Any], id_of: Callable[[Any], str]
) -> list[tuple[ConsumerRecord, Any]]:
    """The messages whose key is not the id in them, each with its record."""
    return [
        (message, record)
        for message, record in zip(messages, records, strict=True)
        if message.key != id_of(record).encode()
    ]


def _of(count: int, messages: Sequence[ConsumerRecord]) -> str:
    return f"{count:,} of {len(messages):,} messages {'has' if count == 1 else 'have'}"


def likeness(key: bytes, record: Any, field: str) -> str:
    """What a key looks like that is not the field of the record that it should be."""
    expected = getattr(record, field)
    number = schema_id(key)
    if number is not None:
        return (
            f"begins with the header of a schema registry (schema {number}): give the producer a "
            "plain string serialiser for keys"
        )
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return f"is {key[:_SHOWN]!r}, which is not text; expected {expected!r}"
    shown = f"is {text[:_SHOWN]!r} where {expected!r} is expected"
    if not text:
        return f"is empty where {expected!r} is expected"
    if text.strip() == expected:
        return f"{shown}: there is white space around it"
    if text.casefold() == expected.casefold():
        return f"{shown}: it differs in upper and lower case"
    as_json = _json(key)
    if as_json == expected:
        return f"{shown}: it is in quotes, as a JSON serialiser writes it"
    if isinstance(as_json, dict | list):
        return f"{shown}: it is JSON"
    for name in record.__struct_fields__:
        if name != field and str(getattr(record, name)) == text:
            return f"{shown}: it is the {name}"
    return shown


def _json(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
