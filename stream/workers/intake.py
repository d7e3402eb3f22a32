"""From a partition's messages to typed records: what both ingest roles do before their own work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord

from stream.settings import Settings
from stream.sources.formats.format import chosen
from stream.workers.heartbeats import parted
from stream.workers.publishing.output import Output, dead_letter
from stream.workers.stamps import Stamps, stamps
from topics.catalogue import Topic


class Intake(NamedTuple):
    """The messages that can be used, and dead letters of those that cannot.

    Attributes:
        messages: the usable ones, in order; one that holds several records is there for each.
        records: what is in them, one for each.
        stamps: what their Kafka timestamps are worth.
        refused: the dead letters.
        heartbeats: to be passed on, once what came before them is published.
        skipped: how many the format of the topic passes over.
    """

    messages: Sequence[ConsumerRecord]
    records: list[Any]
    stamps: Stamps
    refused: list[Output]
    heartbeats: list[ConsumerRecord]
    skipped: int = 0


def decode(
    messages: Sequence[ConsumerRecord], topic: Topic, role: str, settings: Settings, now: float
) -> Intake:
    """Decodes a batch by the format of its topic.

    A message of more than `event_bytes` is refused unread.

    Args:
        now: this worker's clock, unix seconds.
    """
    largest = settings.event_bytes
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
    form, skipped = chosen(settings, topic), 0
    if form is None:
        records, bad = topic.codec.decode_batch(values)
    else:
        records, positions, bad, skipped = form.decode_batch(values)
    if bad:
        refused += [
            dead_letter(messages[position], role, "DecodeError", str(error))
            for position, error in bad
        ]
    if form is not None:
        messages = [messages[position] for position in positions]
    elif bad:
        undecodable = {position for position, _ in bad}
        messages = [message for i, message in enumerate(messages) if i not in undecodable]
    stamped = stamps(messages, records, now, settings.clock_skew)
    return Intake(messages, records, stamped, refused, heartbeats, skipped)
