"""The way of a batch's outputs to the broker, and of what that allows to be committed.

    begin ─► sent, after those of earlier batches ─► acknowledged, in any order ─► committed

While the outputs of some batches are not acknowledged yet, the next may be worked on. A partition's
offset is committed once every output of all its records before it is acknowledged
(`publishing.ledger`), be those of other partitions or later batches acknowledged or not.

Where the broker is away, all that is in flight is sent again in its order, what was acknowledged
behind a gap included: the latest snapshot of a cascade stays the last one. So it is where a topic
takes nothing as large as an output (`publishing.packing`), then by a producer of a new name:
aiokafka numbers what it sends, and a broker that refused a number takes none behind it.

With an offset goes the mark of the last record before it (`stream.kafka.marks`), as its metadata:
who takes the partition on sees by it whether the log is still the one that was read.

Where the group may have expelled the worker meanwhile (`stream.workers.membership`), it first
commits again what is committed; if that is refused, nothing more is sent until partitions are
assigned anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter as Tally
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
)
from prometheus_client import Counter, Histogram

from stream.kafka.broker import may_pass
from stream.kafka.marks import Point
from stream.kafka.reader import is_there
from stream.settings import Settings
from stream.telemetry import spans
from stream.workers.membership import Membership
from stream.workers.publishing.ledger import OffsetLedger
from stream.workers.publishing.packing import Outputs, Packing

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_COMMIT_SECONDS = 5.0


class _Batch:
    """A batch in flight, and the task that sends it."""

    def __init__(self, outputs: Outputs, ends: Mapping[TopicPartition, Point]) -> None:
        self.outputs = outputs
        self.ends = ends
        self.task: asyncio.Task[None]


class Delivery:
    """Sends the outputs of batches and commits their offsets.

    Args:
        renewed: gives a producer of another name; the one before it is used no more.
        packing: of the outputs.
        settings: how many batches may be in flight, how long a session lasts.
        stopping: whether the role stops, so that a broker that is away is not waited for.
        outputs: counts what is published, by topic.
        seconds: takes the time from a batch's end to its commit.
        published: told what of a batch was published, once that is done.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        renewed: Callable[[], Awaitable[AIOKafkaProducer]],
        consumer: AIOKafkaConsumer,
        packing: Packing,
        settings: Settings,
        stopping: Callable[[], bool],
        outputs: Counter,
        seconds: Histogram,
        published: Callable[[Outputs], None],
    ) -> None:
        self._producer = producer
        self._renewed = renewed
        self._consumer = consumer
        self._packing = packing
        self._waiting = settings.batches_in_flight - 1
        self._membership = Membership(settings.session_timeout)
        self.stopping = stopping
        self._outputs = outputs
        self._seconds = seconds
        self._published = published
        self._batches: deque[_Batch] = deque()
        self._ledgers: dict[TopicPartition, OffsetLedger] = {}
        self._begun: dict[TopicPartition, dict[int, Point]] = {}  # by offset, until committed
        self._committed: dict[TopicPartition, Point] = {}
        self._expelled = False
        self._sending = asyncio.Lock()  # first come, first served: batches are sent in order
        self._committing = asyncio.Lock()

    def take_on(self, committed: Mapping[TopicPartition, Point]) -> None:
        """These are the partitions from now on, committed so far; nothing may be in flight."""
        self._ledgers = {}
        self._committed = {}
        for source, point in committed.items():
            self._begin_at(source, point)
        self._expelled = False
        self._membership.confirm()

    async def begin_anew(self, points: Mapping[TopicPartition, Point]) -> None:
        """These partitions have other logs from now on; commits where work on them begins.

        Nothing may be in flight.

        Raises:
            KafkaError: the broker refuses, or is away.
        """
        for source, point in points.items():
            self._begin_at(source, point)
        if points:
            async with self._committing:
                await self._takes(points)

    def begun(self, source: TopicPartition) -> int:
        """Up to where a partition is committed, or will be by what is in flight."""
        return self._ledgers[source].begun

    def committed(self, source: TopicPartition) -> int:
        """Up to where a partition is committed."""
        return self._committed[source].offset

    async def begin(self, outputs: Outputs, ends: Mapping[TopicPartition, Point]) -> None:
        """Starts a batch on its way, and waits until the next may be worked on.

        Args:
            ends: of each partition, the place up to which the batch goes.

        Raises:
            KafkaError: the broker refuses it, or is away while the role stops.
        """
        for source, end in ends.items():
            self._ledgers[source].begin(end.offset)
            self._begun[source][end.offset] = end
        batch = _Batch(outputs, ends)
        batch.task = asyncio.create_task(self._deliver(batch))
        self._batches.append(batch)
        await self.settle(self._waiting)

    async def settle(self, waiting: int | None = None) -> None:
        """Waits until at most so many batches are in flight; takes note of those that failed.

        Raises:
            KafkaError: as in `begin`.
        """
        allowed = self._waiting if waiting is None else waiting
        while self._batches and (len(self._batches) > allowed or self._batches[0].task.done()):
            try:
                await self._batches[0].task
            except KafkaError as error:
                await self._once_more(error)
            else:
                self._batches.popleft()

    async def drain(self) -> None:
        """Waits until all is acknowledged and committed.

        Raises:
            KafkaError: as in `begin`.
        """
        await self.settle(0)

    def abandon(self) -> None:
        """Leaves off; what is in flight is repeated by whoever has the partitions next."""
        for batch in self._batches:
            batch.task.cancel()
        self._batches.clear()

    async def _once_more(self, error: KafkaError) -> None:
        """Sends all that is in flight again: after a while, or as its topics take it."""
        await asyncio.gather(*(batch.task for batch in self._batches), return_exceptions=True)
        if isinstance(error, MessageSizeTooLargeError):
            mended = await self._packing.mend([batch.outputs for batch in self._batches])
            for batch, outputs in zip(self._batches, mended, strict=True):
                batch.outputs = outputs
            self._producer = await self._renewed()
        elif not may_pass(error) or self.stopping():
            raise error
        else:
            log.warning("publishing or committing failed (%s); trying again", error)
            await asyncio.sleep(_RETRY_SECONDS)
        for batch in self._batches:
            batch.task = asyncio.create_task(self._deliver(batch))

    async def _deliver(self, batch: _Batch) -> None:
        with self._seconds.time(), spans.stage("publish"):
            async with self._sending:
                if not await self._is_member():
                    return
                sent = await self._send(batch.outputs)
            acknowledged = [
                self._acknowledge(sent.pop(source.partition, ()), source, end.offset)
                for source, end in batch.ends.items()
            ]
            # Those of an idle partition have no offset to wait for them.
            others = [future for futures in sent.values() for future in futures]
            await asyncio.gather(*acknowledged, *others)
        for topic, count in Tally(output.topic for _, output in batch.outputs).items():
            self._outputs.labels(topic).inc(count)
        self._published(batch.outputs)

    async def _acknowledge(
        self, futures: Iterable[asyncio.Future[Any]], source: TopicPartition, end: int
    ) -> None:
        """Waits for the outputs of one partition's records, and commits what may be."""
        await asyncio.gather(*futures)
        self._ledgers[source].done(end)
        await self._commit()

    async def _send(self, outputs: Outputs) -> dict[int, list[asyncio.Future[Any]]]:
        """Hands the outputs to the producer in order.

        Returns:
            what to wait for, by the number of the partition that caused it.
        """
        return await self._packing.send(self._producer, outputs)

    async def _commit(self) -> None:
        """Commits what the ledgers allow and is not committed; one commit at a time."""
        async with self._committing:
            points = {
                source: self._begun[source][ledger.committable]
                for source, ledger in self._ledgers.items()
                if ledger.committable > self.committed(source)
            }
            if points and await self._takes(points):
                self._committed.update(points)
                for source, point in points.items():
                    begun = self._begun[source]
                    for offset in [offset for offset in begun if offset <= point.offset]:
                        del begun[offset]

    def _begin_at(self, source: TopicPartition, point: Point) -> None:
        """All before this place is committed."""
        self._ledgers[source] = OffsetLedger(point.offset)
        self._begun[source] = {}
        self._committed[source] = point

    async def _is_member(self) -> bool:
        """Whether this worker still has its partitions; asked where it may have been expelled."""
        if not self._expelled and self._membership.in_doubt:
            async with self._committing:
                await self._takes(self._committed)
        return not self._expelled

    async def _takes(self, points: Mapping[TopicPartition, Point]) -> bool:
        """Whether the group takes these offsets from this worker."""
        while held := {s: p.committable for s, p in points.items() if is_there(self._consumer, s)}:
            try:
                async with asyncio.timeout(_COMMIT_SECONDS):
                    await self._consumer.commit(held)
                self._membership.confirm()
                break
            except TimeoutError as error:
                # aiokafka tries for ever, also where a partition is gone: that is looked at again.
                if self.stopping():
                    raise KafkaTimeoutError("the broker did not take a commit") from error
            except (CommitFailedError, IllegalStateError) as error:
                # Another worker has the partitions. It repeats what is not committed.
                log.warning("partitions were taken away before the commit (%s)", error)
                self._expelled = True
                break
        return not self._expelled
