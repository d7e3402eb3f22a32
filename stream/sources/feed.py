"""Sends a source's messages to Kafka, in order of each key, and counts what was acknowledged.

Messages are gathered into one batch a partition and handed over whole (`create_batch` and
`send_batch`): a call and a future for each message would cost several times more. The partition
is that of Kafka's default partitioner (murmur2 of the key), so any other client that writes the
same topics keeps the order of keys too.

    FeedError(TidecastError)    the broker did not take messages; `.sent` tells how many it did
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream.kafka.access.authorization import worded
from stream.kafka.access.security import connection
from stream.kafka.broker import BrokerError, NotAllowedError, partitions
from stream.kafka.partitions import partition_hash
from stream.settings import Settings
from stream.sources.holding import Hold
from stream.sources.messages import Message, Source, SourceError
from topics.errors import TidecastError

TICK = 0.02  # seconds; messages that fall due within one go together
BATCH_BYTES = 512 << 10  # of a partition's batch, at most; Kafka refuses more than about 1 MB

_event_time = attrgetter("timestamp")


@dataclass
class Sent:
    """What the broker acknowledged so far.

    Attributes:
        counts: messages by topic.
        latest: event time of the last message handed over; None before the first.
    """

    counts: dict[str, int] = field(default_factory=dict)
    latest: float | None = None

    @property
    def total(self) -> int:
        """Messages of all topics."""
        return sum(self.counts.values())


class FeedError(TidecastError):
    """The broker did not acknowledge messages."""

    def __init__(self, message: str, sent: Sent) -> None:
        super().__init__(message)
        self.sent = sent


async def connect(settings: Settings, topics: Iterable[str]) -> AIOKafkaProducer:
    """A started producer for `feed`; the caller stops it.

    Idempotent, so that a repeated request does not double what was counted once.

    Args:
        settings: of the brokers.
        topics: that have to be there. A producer that asks for a missing topic would create it
            with one partition, so they are looked for first.

    Raises:
        NotAllowedError: it may not be written to.
        BrokerError: no broker answers, or a topic is missing.
    """
    await partitions(settings, topics)
    producer = AIOKafkaProducer(
        **connection(settings), max_batch_size=BATCH_BYTES, acks="all", enable_idempotence=True
    )
    try:
        await producer.start()
    except KafkaError as error:
        await producer.stop()
        refusal = worded(settings, error)
        if refusal is not None:
            raise NotAllowedError(refusal) from error
        raise BrokerError(f"{settings.kafka} takes no messages ({error})") from error
    return producer


async def feed(
    source: Source,
    producer: AIOKafkaProducer,
    *,
    speed: float | None = None,
    until: float | None = None,
    stop: asyncio.Event | None = None,
    gate: Callable[[], Awaitable[None]] | None = None,
    hold: Hold | None = None,
    on_sent: Callable[[Sent], None] | None = None,
) -> Sent:
    """Sends the source's messages and waits for the broker to acknowledge every one.

    An event is never sent before it happened: a source that runs ahead of the wall clock is held
    back, because consumers refuse events of the future.

    Args:
        producer: as `connect` makes it.
        speed: how many seconds of event time pass in one second; None is as fast as it goes.
        until: stops by this `time.monotonic()`, between batches.
        stop: stops when set, between batches.
        gate: awaited before each batch; holds the feeder back while it does not return.
        hold: how far in event time it may go; the clock of `speed` stands while it is held.
        on_sent: called with the running count after each acknowledged batch.

    Raises:
        FeedError: the broker did not acknowledge a batch.
        SourceError: `speed` is not above 0.
    """
    if speed is not None and not speed > 0:
        raise SourceError(f"speed: got {speed}; expected more than 0")
    feeder = _Feeder(producer, speed, until, stop or asyncio.Event(), gate, hold, on_sent)
    return await feeder.run(source)


class _Feeder:
    """The state of one call of `feed`."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        speed: float | None,
        until: float | None,
        stop: asyncio.Event,
        gate: Callable[[], Awaitable[None]] | None,
        hold: Hold | None,
        on_sent: Callable[[Sent], None] | None,
    ) -> None:
        self._producer = producer
        self._speed = speed
        self._until = until
        self._stop = stop
        self._gate = gate
        self._hold = hold
        self._first: float | None = None  # event time of the first message
        self._on_sent = on_sent
        self._sent = Sent()
        self._pending: set[asyncio.Future[Any]] = set()
        self._failure: BaseException | None = None
        self._partitions: dict[str, list[int]] = {}
        self._began: tuple[float, float] | None = None  # monotonic and event time of the start

    async def run(self, source: Source) -> Sent:
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            for batch in source:
                if not await self._send_when_due(batch, stopping):
                    break
        except KafkaError as error:
            self._failure = self._failure or error
        finally:
            stopping.cancel()
            if self._pending:
                await asyncio.wait(self._pending)
        if self._failure is not None:
            raise FeedError(
                f"the broker did not acknowledge messages ({self._failure}); "
                f"{self._sent.total:,} were acknowledged before",
                self._sent,
            ) from self._failure
        return self._sent

    async def _send_when_due(self, batch: list[Message], stopping: asyncio.Future[Any]) -> bool:
        """Sends a batch, in parts as they fall due. False: it is time to stop."""
        position = 0
        while position < len(batch):
            if not await self._is_let_on(batch[position].timestamp, stopping):
                return False
            wait = self._seconds_to(batch[position].timestamp)
            if wait > 0 and not await self._go_on(asyncio.sleep(max(wait, TICK)), stopping):
                return False
            if self._gate is not None and not await self._go_on(self._gate(), stopping):
                return False
            if self._stop.is_set() or (self._until is not None and self._left() <= 0):
                return False
            end = bisect_right(batch, self._due(), lo=position, key=_event_time)
            if end > position:
                await self._send(batch[position:end])
                if self._failure is not None:
                    return False
            position = end
        return True

    async def _is_let_on(self, event: float, stopping: asyncio.Future[Any]) -> bool:
        """Waits where the hold is; False: it is time to stop."""
        if self._first is None:
            self._first = event
        if self._hold is None or event - self._first <= self._hold.reach:
            return True
        if not await self._go_on(self._hold.wait(self._first, event), stopping):
            return False
        self._began = time.monotonic(), event  # the time that it was held is not to be made up for
        return True

    def _left(self) -> float:
        assert self._until is not None
        return self._until - time.monotonic()

    def _due(self) -> float:
        """Event time up to which messages are due."""
        due = time.time()
        if self._speed is not None and self._began is not None:
            monotonic, event = self._began
            due = min(due, event + (time.monotonic() - monotonic) * self._speed)
        if self._hold is not None and self._first is not None:
            due = min(due, self._first + self._hold.reach)
        return due

    def _seconds_to(self, event: float) -> float:
        """Seconds until an event is due; not above 0 when it is."""
        if self._began is None:
            self._began = time.monotonic(), event
        wait = event - time.time()
        if self._speed is not None:
            monotonic, first = self._began
            wait = max(wait, (event - first) / self._speed - (time.monotonic() - monotonic))
        return wait

    async def _go_on(self, waited: Awaitable[None], stopping: asyncio.Future[Any]) -> bool:
        """Waits for `waited`. False: stopped or out of time before it came."""
        task = asyncio.ensure_future(waited)
        timeout = None if self._until is None else max(self._left(), 0)
        try:
            await asyncio.wait(
                {task, stopping}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if task.done():
                await task  # raises what it raised
                return True
            return False
        finally:
            task.cancel()

    async def _send(self, messages: Sequence[Message]) -> None:
        """Hands messages over, one batch a partition, or more where they are large."""
        builders: dict[tuple[str, int], Any] = {}
        for topic in {message.topic for message in messages} - self._partitions.keys():
            self._partitions[topic] = sorted(await self._producer.partitions_for(topic))
        for topic, key, value, _ in messages:
            partitions = self._partitions[topic]
            target = topic, partitions[partition_hash(key) % len(partitions)]
            builder = builders.get(target)
            if builder is None:
                builder = builders[target] = self._producer.create_batch()
            if builder.append(timestamp=None, key=key, value=value) is None:
                await self._hand_over(builder, *target)
                builder = builders[target] = self._producer.create_batch()
                builder.append(timestamp=None, key=key, value=value)  # the first always fits
        for target, builder in builders.items():
            await self._hand_over(builder, *target)
        self._sent.latest = messages[-1].timestamp

    async def _hand_over(self, builder: Any, topic: str, partition: int) -> None:
        """Queues a batch; waits while the one before it on its partition is still queued."""
        count = builder.record_count()
        builder.close()
        future = await self._producer.send_batch(builder, topic, partition=partition)

        def acknowledged(future: asyncio.Future[Any]) -> None:
            self._pending.discard(future)
            error = future.exception()
            if error is not None:
                self._failure = self._failure or error
                return
            self._sent.counts[topic] = self._sent.counts.get(topic, 0) + count
            if self._on_sent is not None:
                self._on_sent(self._sent)

        self._pending.add(future)
        future.add_done_callback(acknowledged)
