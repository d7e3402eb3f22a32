"""From a partition's messages to typed records: what both ingest roles do before their own work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from aiokafka import ConsumerRecord
from numpy.typing import NDArray

from stream.consumer import Output, dead_letter
from stream.heartbeats import parted
from topics.catalogue import Topic


class Intake(NamedTuple):
    """The messages that can be used, and dead letters of those that cannot.

    Attributes:
        messages: the usable ones, in order.
        records: what is in them, one for each.
        received: their Kafka timestamps in unix seconds, shape (len(messages),).
        refused: the dead letters.
        heartbeats: to be passed on, once what came before them is published.
    """

    messages: Sequence[ConsumerRecord]
    records: list[Any]
    received: NDArray[np.float64]
    refused: list[Output]
    heartbeats: list[ConsumerRecord]


def decode(messages: Sequence[ConsumerRecord], topic: Topic, role: str, largest: int) -> Intake:
    """Decodes a batch; a message of more than `largest` bytes is refused unread."""
    values = [message.value for message in messages]
    refused: list[Output] = []
    heartbeats: list[ConsumerRecord] = []
    try:
        longest = max(map(len, values), default=0)
    except TypeError:  # a null value: batches without one, by far the most, pay nothing for this
        messages, heartbeats = parted(messages)
        values = [message.value for message in messages]
        longest = max(map(len, filter(None, values)), default=0)
    if longest > largest:
        refused = [
            dead_letter(
                message,
                role,
                "OversizedError",
                f"the message has {len(message.value)} bytes; at most {largest} are read "
                "(setting event_bytes). Send what the contract names, and no more",
            )
            for message in messages
            if len(message.value or b"") > largest
        ]
        messages = [message for message in messages if len(message.value or b"") <= largest]
        values = [message.value for message in messages]
    records, bad = topic.codec.decode_batch(values)
    if bad:
        refused += [
            dead_letter(messages[position], role, "DecodeError", str(error))
            for position, error in bad
        ]
        undecodable = {position for position, _ in bad}
        messages = [message for i, message in enumerate(messages) if i not in undecodable]
    timestamps = [message.timestamp for message in messages]
    received = np.fromiter(timestamps, np.float64, len(messages)) / 1000
    return Intake(messages, records, received, refused, heartbeats)
