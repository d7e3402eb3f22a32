"""Outputs as a producer takes them: packed into batches, and what no topic takes as it is.

    outputs ─► batches of a partition ─► taken
                       └─ too large for the topic ─► sent again, all that is in flight, in its order
                            ├─ of several messages    in smaller batches from then on
                            └─ of one                 a dead letter in its place

How large a batch may be is the topic's to say (`max.message.bytes`; the brokers' default is
`message.max.bytes`), and may be changed at any time. A producer hears of it by being refused, so
the broker is the judge here too: what it says of its limit only saves attempts, and a worker that
may not ask (it needs the right to describe configurations) comes to the same by halving.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from stream.kafka.broker import MESSAGE_LIMIT, BrokerError, configured
from stream.settings import Settings
from stream.workers.publishing.output import Output, shortened, too_large
from topics.catalogue import DEAD_LETTERS

# Outputs, each with the number of the partition that caused it: it goes to the partition of that
# number (modulo the output topic's), so that what belongs together stays so.
Outputs = Sequence[tuple[int, Output]]


class _Batch(NamedTuple):
    """What is sent to a partition at once; `size` in bytes."""

    topic: str
    outputs: Sequence[Output]
    size: int


class Packing:
    """Hands outputs to a producer, and knows what becomes of those that it is refused.

    Args:
        role: that they are of.
        settings: of the brokers.
    """

    def __init__(self, role: str, settings: Settings) -> None:
        self._role = role
        self._settings = settings
        self._most: dict[str, int] = {}  # bytes of a batch, of topics that have refused one
        self._refused: list[_Batch] = []

    async def send(
        self, producer: AIOKafkaProducer, outputs: Outputs
    ) -> dict[int, list[asyncio.Future[Any]]]:
        """Hands outputs to a producer, those of a partition in order.

        Returns:
            what to wait for, by the number of the partition that caused it. Where that raises
            `MessageSizeTooLargeError`, what `mend` gives is to be sent instead.
        """
        grouped: dict[tuple[str, int], list[Output]] = defaultdict(list)
        for number, output in outputs:
            grouped[output.topic, number].append(output)
        sent: dict[int, list[asyncio.Future[Any]]] = defaultdict(list)
        for (topic, number), group in grouped.items():
            partition = number % len(await producer.partitions_for(topic))
            for builder, packed in self._packed(producer, topic, group):
                batch = _Batch(topic, packed, builder.size())
                taken = await producer.send_batch(builder, topic, partition=partition)
                taken.add_done_callback(partial(self._note, batch))
                sent[number].append(taken)
        return sent

    async def mend(self, several: Sequence[Outputs]) -> list[Outputs]:
        """Outputs with dead letters in place of those that are too large for their topics.

        Args:
            several: of each batch in flight.

        Raises:
            BrokerError: not even the shortest dead letter is taken.
        """
        refused, self._refused = self._refused, []
        limits = await self._limits({batch.topic for batch in refused})
        for batch in refused:
            if len(batch.outputs) > 1:
                limit = limits.get(batch.topic, batch.size)
                self._most[batch.topic] = limit if limit < batch.size else batch.size // 2
        alone = {id(batch.outputs[0]) for batch in refused if len(batch.outputs) == 1}
        return [
            [
                (number, self._instead(number, output, limits.get(output.topic)))
                if id(output) in alone or _exceeds(output, limits.get(output.topic))
                else (number, output)
                for number, output in outputs
            ]
            for outputs in several
        ]

    def _packed(
        self, producer: AIOKafkaProducer, topic: str, outputs: Iterable[Output]
    ) -> Iterator[tuple[BatchBuilder, list[Output]]]:
        """Batches of one partition, each with what is in it."""
        most = self._most.get(topic)
        builder, packed = producer.create_batch(), list[Output]()
        for output in outputs:
            fields = {
                "timestamp": output.timestamp_ms,
                "key": output.key,
                "value": output.value,
                "headers": list(output.headers),
            }
            is_full = most is not None and packed and builder.size() + _size(output) > most
            # The first message of a batch is taken in whatever its size.
            if is_full or builder.append(**fields) is None:
                yield builder, packed
                builder, packed = producer.create_batch(), []
                builder.append(**fields)
            packed.append(output)
        yield builder, packed

    def _note(self, batch: _Batch, taken: asyncio.Future[Any]) -> None:
        if not taken.cancelled() and isinstance(taken.exception(), MessageSizeTooLargeError):
            self._refused.append(batch)

    async def _limits(self, topics: Iterable[str]) -> dict[str, int]:
        """Bytes that a batch of each topic may have; without those of which nobody tells."""
        try:
            told = await configured(self._settings, topics, MESSAGE_LIMIT)
        except (KafkaError, BrokerError):
            return {}
        return {topic: int(limit) for topic, limit in told.items()}

    def _instead(self, number: int, output: Output, limit: int | None) -> Output:
        """The dead letter of a message that its topic does not take, or a shorter one."""
        size = _size(output)
        if output.topic != DEAD_LETTERS.name:
            return too_large(output, number, self._role, size, limit)
        letter = shortened(output, size // 2 if limit is None else size - limit)
        if letter is None:
            raise BrokerError(
                f"{DEAD_LETTERS.name} takes no message of {size} bytes, which is a letter without "
                f"its message; raise its {MESSAGE_LIMIT}, to that of the other topics at least"
            )
        return letter


def size_alone(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> int:
    """Bytes of a batch that holds one message, at most."""
    size: int = DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, list(headers))
    return size


def _size(output: Output) -> int:
    return size_alone(output.key, output.value, output.headers)


def _exceeds(output: Output, limit: int | None) -> bool:
    return limit is not None and _size(output) > limit
