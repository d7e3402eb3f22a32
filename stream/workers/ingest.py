"""The batch consumer of the ingest roles, on aiokafka.

    fetch a batch -> handler of each partition -> next
                       └─► publish -> acknowledged -> commit  (`stream.workers.publishing`)

A handler turns one partition's records, in order, into outputs. Offsets are committed only when
every output of all records before them has been acknowledged, so a worker that dies repeats its
last batches, and since what a handler answers depends on the log alone, it repeats the same records
with the same ids. A worker that is given a partition takes its state from a checkpoint
(`stream.checkpoints.recovery`), or from none, reads the topic from there in silence up to the
committed offset, and publishes from there on.

A topic may have another log by now than the one that was read, and records may be removed before
they were read: `stream.workers.assignment` looks for both.

Outputs go to the partition with the number of the one they came from (modulo the output topic's
partitions), so that what belongs together stays together and in order whatever partitioner the
writers upstream use.

    ConsumerError(TidecastError)    the role cannot go on
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from aiokafka import (
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    ConsumerRecord,
    TopicPartition,
)
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from prometheus_client import CollectorRegistry

from stream.checkpoints.recovery import Recovery
from stream.kafka.access.security import connection
from stream.kafka.broker import check_role, may_pass, retried
from stream.kafka.logs import Logs
from stream.kafka.marks import Point
from stream.kafka.reader import position, reader, stable_end
from stream.processes import starting
from stream.processes.stopping import when_told
from stream.settings import Settings
from stream.telemetry import setup as telemetry
from stream.telemetry import spans
from stream.telemetry.notices import Notices
from stream.workers.assignment import Assignment, Partition
from stream.workers.handler import Metrics, PartitionHandler
from stream.workers.heartbeats import Passed
from stream.workers.held_back import HeldBack
from stream.workers.publishing.delivery import Delivery
from stream.workers.publishing.output import Output
from stream.workers.publishing.packing import Packing
from stream.workers.refusals import Refusals
from topics.catalogue import Topic
from topics.errors import TidecastError
from topics.heartbeat import is_heartbeat

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_POLL_MS = 200  # how long a fetch waits, and so how soon a stop is noticed
_METADATA_MS = 10_000  # how soon a topic that is there again is noticed


class ConsumerError(TidecastError):
    """The role cannot go on."""


class IngestRole(ConsumerRebalanceListener):
    """Runs a handler for each partition of a topic that this worker is given."""

    def __init__(
        self,
        role: str,
        topic: Topic,
        handler: Callable[[int], PartitionHandler],
        settings: Settings,
        registry: CollectorRegistry | None = None,
    ) -> None:
        """Args:
        handler: makes the handler of a partition, given its number.
        """
        self._role = role
        self._topic = topic
        self._new_handler = handler
        self._settings = settings
        self._registry = registry or CollectorRegistry()
        self._metrics = Metrics(self._registry, role)
        self._recovery = Recovery(topic, settings.group(role), settings, self._registry)
        self._heartbeats = Passed(role, self._registry)
        self._notices = Notices(role, settings.instance, self._registry)
        self._refusals = Refusals(self._notices)
        self._held_back = HeldBack(self._notices)
        self._failure: Exception | None = None
        self._batch = asyncio.Lock()  # a rebalance waits for the batch in flight
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Consumes until it is told to stop, then finishes the batch in flight.

        Raises:
            BrokerError: a topic is missing, or the broker is not there.
            ConsumerError: the broker refused what a rebalance needs.
        """
        settings = self._settings
        telemetry.serve(self._registry, settings)
        await check_role(settings, self._role)
        when_told(lambda _: self.stop())
        self._producer = self._new_producer()
        self._consumer = reader(
            settings,
            group_id=settings.group(self._role),
            client_id=f"{settings.group(self._role)}.{settings.instance}",
            group_instance_id=f"{self._role}-{settings.instance}",
            auto_offset_reset="none",  # who is out of range has lost something
            metadata_max_age_ms=_METADATA_MS,
            session_timeout_ms=int(settings.session_timeout * 1000),
            heartbeat_interval_ms=int(settings.session_timeout * 100),
            max_partition_fetch_bytes=settings.fetch_bytes,
        )
        self._delivery = Delivery(
            self._producer, self._renewed_producer, self._consumer,
            Packing(self._role, settings), settings, self._stop.is_set,
            self._metrics.outputs, self._metrics.publish, self._note_published,
        )  # fmt: skip
        logs = Logs(settings)
        self._assignment = Assignment(
            self._consumer, self._delivery, logs, self._recovery, self._notices, self._new_handler
        )
        try:
            await self._producer.start()
            self._notices.start(lambda: self._producer)
            await self._consumer.start()
            starting.tell("joining the group")
            self._consumer.subscribe([self._topic.name], listener=self)
            log.info("%s started on %s", self._role, settings.kafka)
            while not self._stop.is_set():
                await self._step()
            if self._failure is not None:
                raise ConsumerError(f"could not take on or give up partitions: {self._failure}")
            async with self._batch:
                await self._delivery.drain()
                await self._recovery.finish(self._savable(self._assignment.partitions))
        finally:
            self._delivery.abandon()
            await self._notices.stop()
            await self._consumer.stop()
            await logs.close()
            await self._producer.stop()
        log.info("%s stopped", self._role)

    def stop(self) -> None:
        """Lets the batch in flight finish, then ends `run`."""
        self._stop.set()

    def _new_producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **connection(self._settings),
            acks="all",
            enable_idempotence=True,
            max_batch_size=self._settings.message_bytes,
            max_request_size=2 * self._settings.message_bytes,
        )

    async def _renewed_producer(self) -> AIOKafkaProducer:
        """Another one in the place of the producer, which a broker knows by another name.

        Raises:
            KafkaError: the broker is away while the role stops.
        """

        async def begin() -> AIOKafkaProducer:
            await self._producer.stop()
            self._producer = self._new_producer()
            await self._producer.start()
            return self._producer

        return await retried(begin, "a producer could not begin", self._stop.is_set)

    async def _step(self) -> None:
        """One batch: fetched, processed, and on its way."""
        assignment = self._assignment
        fetched = await self._fetch()
        tenure = assignment.tenure
        async with self._batch:
            if tenure != assignment.tenure:
                return  # fetched before a rebalance; after it every partition is read anew
            await assignment.check(fetched)
            with spans.stage("batch", if_any=fetched):
                outputs: list[tuple[int, Output]] = []
                with self._metrics.compute.time():
                    for source, records in fetched.items():
                        partition = assignment.partitions[source]
                        outputs += [
                            (source.partition, output)
                            for output in partition.process(records, self._metrics)
                        ]
                        self._tell_noticed(source, partition.handler)
                    outputs += self._tick_idle()
                ends = self._come_further()
                if outputs or ends:
                    await self._delivery.begin(outputs, ends)
                else:
                    await self._delivery.settle()
                await self._write_due()

    async def _fetch(self) -> dict[TopicPartition, list[ConsumerRecord]]:
        """The next records of each partition, as many as a batch may have."""
        limit = self._settings.poll_records
        try:
            fetched: dict[TopicPartition, list[ConsumerRecord]] = await self._consumer.getmany(
                timeout_ms=_POLL_MS, max_records=limit
            )
        except NoOffsetForPartitionError:
            return {}  # aiokafka asked for itself, before `take_on` had said where to begin
        except OffsetOutOfRangeError as error:
            self._assignment.refuse(error.args[0])
            return {}
        return fetched

    def _tell_noticed(self, source: TopicPartition, handler: PartitionHandler) -> None:
        """Takes over what the handler has noticed."""
        for noticed in handler.noticed:
            self._notices.note(
                noticed.kind, source.topic, source.partition, noticed.message,
                count=noticed.count, offset=noticed.offset,
            )  # fmt: skip
        handler.noticed.clear()

    def _note_published(self, outputs: Sequence[tuple[int, Output]]) -> None:
        """Takes note of a batch that is acknowledged and committed."""
        for number, output in outputs:
            if is_heartbeat(output):
                self._heartbeats.note(self._topic.name, number, output.timestamp_ms)
            spans.note_published(output.headers, output.timestamp_ms, topic=output.topic)
        self._refusals.note(outputs)

    async def _write_due(self) -> None:
        """Begins a checkpoint that is due, of a state of which all is committed."""
        for source, partition in self._assignment.partitions.items():
            if self._recovery.is_due(source.partition, partition.point.offset):
                await self._delivery.drain()
                for number, handler, point in self._savable({source: partition}):
                    self._recovery.begin(number, handler, point)

    def _savable(
        self, partitions: Mapping[TopicPartition, Partition]
    ) -> list[tuple[int, PartitionHandler, Point]]:
        """The partitions of which all that is taken in is committed too, as it should be."""
        return [
            (source.partition, partition.handler, partition.point)
            for source, partition in partitions.items()
            if partition.point.mark is not None
            and partition.point.offset <= self._delivery.committed(source)
        ]

    def _come_further(self) -> dict[TopicPartition, Point]:
        """The places that may be committed now, once what came before them is published.

        Behind the last record there may be markers of transactions, or what was aborted: left
        uncommitted, they would look like lag for ever.
        """
        further = {}
        for source, partition in self._assignment.partitions.items():
            reached, stable = position(self._consumer, source), stable_end(self._consumer, source)
            if reached is None:
                continue
            partition.come_to(reached)
            if stable is not None:
                self._metrics.lag.labels(source.partition).set(max(0, stable - reached))
                end = self._consumer.highwater(source)
                self._held_back.look(source, stable, end, time.monotonic())
            if reached > self._delivery.begun(source):
                further[source] = partition.point
        return further

    def _tick_idle(self) -> Iterable[tuple[int, Output]]:
        """Outputs of partitions that have been idle long enough, where that is switched on."""
        patience = self._settings.idle_advance
        if patience <= 0:
            return
        for source, partition in self._assignment.partitions.items():
            if time.monotonic() - partition.last_record > patience:
                for output in partition.handler.idle(time.time()):
                    yield source.partition, output

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Waits for what is in flight, then writes checkpoints of what is taken away.

        The state is held until the next assignment: as a rule most of it comes back with that.
        """
        async with self._batch:
            try:
                await self._delivery.drain()
            except KafkaError as error:
                self._fail(error)
            given_up = self._assignment.give_up(revoked)
            self._metrics.partitions.set(len(self._assignment.partitions))
            await self._recovery.finish(self._savable(given_up))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Makes the handlers of new partitions and sends their readers to where those begin."""
        async with self._batch:
            while not self._stop.is_set():
                try:
                    await self._assignment.take_on(sorted(assigned))
                    self._metrics.partitions.set(len(self._assignment.partitions))
                    starting.ready("joined")
                    return
                except KafkaError as error:
                    if not may_pass(error):
                        self._fail(error)
                        return
                    log.warning("taking on partitions failed (%s); trying again", error)
                    await asyncio.sleep(_RETRY_SECONDS)

    def _fail(self, error: Exception) -> None:
        """Ends the role; aiokafka would log what a listener raises, and go on without state."""
        self._failure = error
        self._stop.set()
