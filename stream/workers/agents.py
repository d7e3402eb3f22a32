"""The Faust application that the model roles share: batches, exact commits, a clean stop.

A role takes batches of messages from one topic, computes off the event loop, publishes and
commits, one batch at a time:

    take a batch -> compute in the model thread -> publish, wait for the broker -> commit -> next

A role may have something to do afterwards, once a batch is committed, while the next may wait: it
is done step by step in the same thread, and ends early when the role stops.

Faust's own count of acknowledgements cannot carry the promise that nothing is lost.
`Stream.take_events` acknowledges a batch in a `finally`, hence also one that failed or was
cancelled; what a rebalance makes a stream skip is acknowledged too; and one message missing at
the head is forgiven. Each lets the committed offset pass a message that was not worked on. So
acknowledgements are off on the topics read here, and the end of a batch is committed by itself,
once all its outputs are acknowledged. A failure ends the process, and whoever comes next reads
the batch again: at least once, and outputs carry ids by which a repeat is recognised.

With static membership a restarted worker has its partitions back at once, not after the session
timeout.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    MessageSizeTooLargeError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.auth import CredentialsT
from mode import Service
from mode.supervisors import CrashingSupervisor
from prometheus_client import CollectorRegistry, Gauge

from stream.kafka.access.authorization import worded
from stream.kafka.access.security import connection
from stream.kafka.broker import check_role, may_pass
from stream.kafka.logs import Logs, others
from stream.kafka.marks import Point
from stream.kafka.pacing import pace_fetches
from stream.kafka.reader import COMMITTED, harden, is_there
from stream.kafka.resuming import resume
from stream.processes import starting
from stream.processes.stopping import when_told
from stream.settings import Settings, SettingsError
from stream.telemetry import spans, traces
from stream.telemetry.notices import Notices
from stream.workers.heartbeats import Passed
from stream.workers.membership import Membership
from stream.workers.publishing.output import Output, passed_on
from stream.workers.publishing.packing import Outputs, Packing
from stream.workers.refusals import Refusals
from topics.catalogue import Topic
from topics.heartbeat import is_heartbeat

log = logging.getLogger(__name__)


class Received(NamedTuple):
    """A message of a batch. `timestamp` is its Kafka timestamp in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


# Answers a batch.
Compute = Callable[[Sequence[Received]], Outputs]
# Called with a batch that is committed and with what tells how many messages wait for the next;
# what each step yields is published before the next step.
Afterwards = Callable[[Sequence[Received], Callable[[], int]], Iterator[Outputs]]


_TOLD_TRACES = 20  # of a batch that failed
_RETRY_SECONDS = 1.0
_COMMIT_SECONDS = 5.0
_METADATA_MS = 10_000  # how soon a topic that is there again is noticed
# How long a log that was looked at is believed to be the same, and the same where nothing comes.
_TRUSTED_SECONDS = 1.0
_IDLE_SECONDS = 10.0
_GROUP_SECONDS = 1.0

# Faust logs under the module of a subclass; what it tells of its services belongs to `faust`.
_FAUST = logging.getLogger("faust")


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    logger = _FAUST

    def __post_init__(self) -> None:
        super().__post_init__()
        # Two rebalances on each other's heels are sought for at once.
        self._resuming = asyncio.Lock()

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        harden()
        consumer._isolation_level = COMMITTED  # Faust's is bound to transactions of its own
        pace_fetches(consumer)
        return consumer

    async def seek_to_committed(self) -> Mapping[TopicPartition, int]:
        places: Mapping[TopicPartition, Point] = await self.call_thread(self._resume)
        return {source: point.offset for source, point in places.items()}

    async def _resume(self) -> Mapping[TopicPartition, Point]:
        app = self.consumer.app
        async with self._resuming:
            places = await resume(self._ensure_consumer(), app.given, app.notices, app.had)
            app.note_places(places)
        return places

    async def _fetch_records(self, *of: Any, **how: Any) -> Any:
        try:
            return await super()._fetch_records(*of, **how)
        except NoOffsetForPartitionError:
            return {}  # asked for before `seek_to_committed` had said where to begin
        except OffsetOutOfRangeError:
            self.consumer.app.take_on_anew()
            return {}

    @Service.task  # type: ignore[untyped-decorator]
    async def _look_at_group(self) -> None:
        """Ends with what keeps this worker out of its group.

        aiokafka tells it to who fetches, and Faust fetches nothing before it has partitions: where
        the group refuses it, nothing would come for ever.
        """
        while not self.should_stop:
            await self.sleep(_GROUP_SECONDS)
            if self._consumer is not None:
                self._consumer._coordinator.check_errors()

    def rejoin(self) -> None:
        """Has the group give out its partitions again."""
        coordinator = self._ensure_consumer()._coordinator
        self.thread_loop.call_soon_threadsafe(coordinator.request_rejoin)

    async def _commit(self, points: Mapping[TP, Point]) -> bool:
        """Commits what this worker still holds; False if a rebalance came first.

        Faust's own takes a commit of nothing, and some that come late, for a crash.
        """
        consumer = self._ensure_consumer()
        while held := {
            TopicPartition(*tp): point.committable
            for tp, point in points.items()
            if tp in self.assignment() and is_there(consumer, TopicPartition(*tp))
        }:
            try:
                async with asyncio.timeout(_COMMIT_SECONDS):
                    await consumer.commit(held)
                return True
            except TimeoutError:
                # aiokafka tries for ever, also where a partition is gone: that is looked at again.
                continue
            except (CommitFailedError, IllegalStateError):
                return False
        return False


class _Consumer(driver.Consumer):
    logger = _FAUST

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: Any) -> Any:
        message = super()._to_message(tp, record)
        message.tenure = self.app.tenure
        message.timestamp_ms = record.timestamp  # Faust's own is a float
        return message


class _Transport(driver.Transport):
    Consumer = _Consumer


def _credentials(settings: Settings) -> CredentialsT | None:
    """The options of an aiokafka client as Faust spells them."""
    options = connection(settings)
    tls = options.get("ssl_context")
    if "sasl_oauth_token_provider" in options:
        return OAuthCredentials(oauth_cb=options["sasl_oauth_token_provider"], ssl_context=tls)
    if "sasl_mechanism" in options:
        return SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=tls,
        )
    return None if tls is None else SSLCredentials(tls)


class Application(faust.App):
    """A Faust application with one batch in flight.

    Attributes:
        role: its name.
        given: the settings of this process.
        tenure: counts the assignments of partitions to this worker; messages are marked with the
            one they were fetched in. (Kafka's own generation may outlast a static member's.)
        had: how far it has come on each partition that it has had.
        notices: takes what is noticed, in any thread.

    Args:
        role: names the consumer group (`settings.group(role)`), the member and its folder.
        settings: of this process.
        registry: gets the number of partitions assigned, and the ages of heartbeats.

    Raises:
        SettingsError: `data_dir` cannot be written to.
    """

    logger = _FAUST

    def __init__(self, role: str, settings: Settings, registry: CollectorRegistry) -> None:
        folder = settings.data_dir / f"{role}-{settings.instance}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"data_dir: {folder} cannot be made ({error.strerror}); name a folder that the "
                f"{role} may write to"
            ) from error
        super().__init__(
            settings.group(role),
            broker=";".join(f"kafka://{host.strip()}" for host in settings.kafka.split(",")),
            broker_credentials=_credentials(settings),
            broker_client_id=f"{settings.group(role)}.{settings.instance}",
            broker_session_timeout=settings.session_timeout,
            broker_heartbeat_interval=settings.session_timeout / 10,
            consumer_auto_offset_reset="none",  # who is out of range has lost something
            consumer_metadata_max_age_ms=_METADATA_MS,
            consumer_group_instance_id=f"{role}-{settings.instance}",
            consumer_max_fetch_size=settings.fetch_bytes,
            producer_acks=-1,
            producer_max_batch_size=settings.message_bytes,
            # A dead letter is the original message with headers, so it needs room beyond it.
            producer_max_request_size=2 * settings.message_bytes,
            datadir=folder,
            store="memory://",
            autodiscover=False,
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            stream_wait_empty=False,  # nothing is acknowledged to wait for; see _end_tenure
            worker_redirect_stdouts=False,
        )
        self.role = role
        self.given = settings
        self.tenure = 0
        self._ended = -1  # the tenure that the group has ended, where it is not over here yet
        self._membership = Membership(settings.session_timeout)
        self._logs = Logs(settings)
        self.had: dict[TopicPartition, Point] = {}
        self._places: dict[TopicPartition, Point] = {}  # the same, of those that it has
        self._looked_at: dict[TopicPartition, float] = {}  # when its log was the one that was read
        self._batch = asyncio.Lock()  # a stop and a rebalance wait for the batch in flight
        self._give_up: Callable[[], None] = lambda: None
        self._model_thread = ThreadPoolExecutor(1, thread_name_prefix=role)
        self._heartbeats = Passed(role, registry)
        self.notices = Notices(role, settings.instance, registry)
        self._refusals = Refusals(self.notices)
        self._packing = Packing(role, settings)
        self.task(self._tell_notices)
        self.task(self._look_at_logs)
        self._partitions = Gauge(
            f"tidecast_{role}_partitions", "Partitions assigned", registry=registry
        )
        self.on_partitions_revoked.connect(self._end_tenure, weak=False)
        self.on_partitions_assigned.connect(self._note_partitions, weak=False)

    def _new_transport(self) -> _Transport:
        return _Transport(self.conf.broker_consumer, self)

    def consume(
        self,
        topic: Topic,
        compute: Compute,
        *,
        size: int,
        wait: float,
        afterwards: Afterwards | None = None,
        give_up: Callable[[], None] | None = None,
    ) -> None:
        """Gives the messages of `topic` to `compute`, batch by batch, and publishes its outputs.

        Args:
            compute: called in the one model thread, so that heartbeats and fetches go on
                meanwhile; what it raises ends the process.
            size: messages a batch at most.
            wait: seconds a batch may wait to fill.
            afterwards: called likewise, when a batch is committed; a crash loses what it was at.
            give_up: called likewise, before partitions are given up, and when the role stops.
        """
        self._give_up = give_up or self._give_up
        source = self.topic(
            topic.name, key_type=bytes, value_type=bytes,
            key_serializer="raw", value_serializer="raw", acks=False,
        )  # fmt: skip

        async def batches(stream: Any) -> None:
            async for events in stream.take_events(size, within=wait):
                async with self._batch:
                    if self.should_stop:
                        return
                    messages = [event.message for event in events]
                    # What was fetched before a rebalance is read again by whoever has it now.
                    current = [m for m in messages if self.works_on(m.tenure)]
                    if current and await self._are_same({m.tp for m in current}):
                        received = await self._work(current, compute)
                        if received and afterwards is not None:
                            await self._go_on(afterwards(received, stream.channel.queue.qsize))

        self.agent(source, name=topic.name, supervisor_strategy=CrashingSupervisor)(batches)

    async def _work(self, messages: Sequence[Any], compute: Compute) -> list[Received]:
        """One batch: computed, published, committed. Empty where others have it by now."""
        received = [
            Received(m.topic, m.partition, m.offset, m.timestamp_ms, m.key, m.value, m.headers)
            for m in messages
        ]
        began = time.time()
        loop = asyncio.get_running_loop()
        begins = {
            message.tp: Point(message.offset, self._place(message.tp).mark)
            for message in reversed(messages)
        }
        ends = {
            message.tp: Point.after(one) for message, one in zip(messages, received, strict=True)
        }
        with spans.stage("batch"):
            with spans.stage("compute"):
                # In this context, so that the spans of the model's thread lie inside this one.
                work = partial(copy_context().run, compute, received)
                try:
                    outputs = await loop.run_in_executor(self._model_thread, work)
                except Exception:
                    _tell_failed(received)
                    raise
            with spans.stage("publish"):
                published = await self.publish(outputs, begins)
                if published is None:
                    return []
                await self._commit(ends)
        reached = {TopicPartition(*tp): end for tp, end in ends.items()}
        self._places |= reached
        self.had |= reached
        for message in received:
            if is_heartbeat(message):
                self._heartbeats.note(message.topic, message.partition, message.timestamp)
        for _, output in published:
            spans.note_published(output.headers, _arrived(output), topic=output.topic, began=began)
        return received

    async def _commit(self, points: dict[TP, Point]) -> bool:
        """Whether the group takes this worker for a member, and hence its offsets."""
        if await self.consumer._commit(points):
            self._membership.confirm()
            return True
        self._ended = self.tenure
        log.warning("partitions were taken away before a commit; what it covers is read again: %s",
                    {tp: point.offset for tp, point in points.items()})  # fmt: skip
        return False

    def note_places(self, places: dict[TopicPartition, Point]) -> None:
        """Takes note of where this worker begins on the partitions that it was given."""
        self.had |= places
        self._places = places
        self._looked_at = dict.fromkeys(places, time.monotonic())

    def works_on(self, tenure: int) -> bool:
        """Whether what was fetched in that tenure is to be worked on."""
        return tenure == self.tenure != self._ended

    def take_on_anew(self) -> None:
        """Has the group give its partitions out again, for a log is another one.

        Where each goes on is found out then (`stream.kafka.resuming`); until then nothing is worked
        on.
        """
        if self._ended != self.tenure:
            self._ended = self.tenure
            self.consumer._thread.rejoin()

    def _place(self, tp: TP) -> Point:
        return self._places.get(TopicPartition(*tp), Point(0))

    async def _are_same(self, tps: Iterable[TP], trusted: float = _TRUSTED_SECONDS) -> bool:
        """Whether the logs of partitions are those that were read.

        Raises:
            KafkaError: the broker refuses, or is away while the role stops.
        """
        now = time.monotonic()
        sources = [TopicPartition(*tp) for tp in tps]
        due = {s: self._places[s] for s in sources if now - self._looked_at.get(s, now) > trusted}
        try:
            replaced = others(await self._logs.look(due))
        except KafkaError as error:
            if not may_pass(error) or self.should_stop:
                raise
            log.warning("logs could not be looked at (%s); what came is read again", error)
            await asyncio.sleep(_RETRY_SECONDS)
            self.take_on_anew()
            return False
        self._looked_at |= dict.fromkeys(due, now)
        if replaced:
            self.take_on_anew()
        return not replaced

    async def _look_at_logs(self) -> None:
        """Looks at those too of which nothing comes: of another log just as long nothing would."""
        while not self.should_stop:
            await self.sleep(_IDLE_SECONDS)
            async with self._batch:
                if self.tenure != self._ended:
                    await self._are_same(self._places, _IDLE_SECONDS)

    async def _go_on(self, steps: Iterator[Outputs]) -> None:
        """What is to be done afterwards, until it is done or the role stops."""
        loop = asyncio.get_running_loop()
        while not self.should_stop:
            outputs = await loop.run_in_executor(self._model_thread, next, steps, None)
            if outputs is None:
                return
            await self.publish(outputs)

    async def publish(
        self, outputs: Outputs, begins: dict[TP, Point] | None = None
    ) -> Outputs | None:
        """Sends the outputs in order and waits until all replicas have acknowledged them all.

        While the broker is away they are sent again, all of them.

        Args:
            begins: the places at which the batch begins that they are of; without it they are
                sent whoever has its partitions.

        Returns:
            the outputs as they are out, with dead letters in place of those that their topics do
            not take (`stream.workers.publishing.packing`); None if others have the partitions by
            now.

        Raises:
            KafkaError: the broker refuses them, or is away while the role stops.
        """
        while begins is None or not self._membership.in_doubt or await self._commit(begins):
            try:
                await self._send(outputs)
                self._refusals.note(outputs)
                return outputs
            except MessageSizeTooLargeError:
                [outputs] = await self._packing.mend([outputs])
            except KafkaError as error:
                if not may_pass(error) or self.should_stop:
                    raise
                log.warning("publishing failed (%s); trying again", error)
                await asyncio.sleep(_RETRY_SECONDS)
        return None

    async def _send(self, outputs: Outputs) -> None:
        sent = await self._packing.send(self.producer._ensure_producer(), outputs)
        taken = asyncio.gather(*chain.from_iterable(sent.values()), return_exceptions=True)
        for answer in await taken:
            if isinstance(answer, BaseException):
                raise answer

    async def _end_tenure(self, _: Any, revoked: set[Any], **__: Any) -> None:
        """Holds a rebalance until the batch in flight is committed; no other starts after it."""
        async with self._batch:
            self.tenure += 1
            if revoked:
                await self._in_model_thread(self._give_up)
                log.info("%s gives up %d partitions", self.role, len(revoked))

    async def _in_model_thread(self, call: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._model_thread, call)

    async def _note_partitions(self, _: Any, assigned: set[Any], **__: Any) -> None:
        self._membership.confirm()
        # Who asked to join anew while the group was on its way to this has it: nobody will end the
        # tenure once more.
        self._ended = -1
        self._partitions.set(len(assigned))
        starting.ready("joined")

    async def _tell_notices(self) -> None:
        self.notices.start(self.producer._ensure_producer)

    def _crash(self, reason: BaseException) -> None:
        # What comes of a failure is not to hide it: the first reason is the one that is told.
        super()._crash(self.crash_reason or reason)

    async def on_stop(self) -> None:
        """Lets the batch in flight finish and commit, then stops; no new one starts."""
        async with self._batch:
            await self._in_model_thread(self._give_up)
            await self.notices.stop()
            await self._logs.close()
            await super().on_stop()
        self._model_thread.shutdown()


def passed_by_partition(heartbeats: Iterable[Received], topic: Topic) -> list[tuple[int, Output]]:
    """Heartbeats as outputs of a batch, each to the partition of its number."""
    return [
        (heartbeat.partition, passed)
        for heartbeat in heartbeats
        for passed in passed_on([heartbeat], topic)
    ]


def _arrived(output: Output) -> int:
    """Kafka timestamp, milliseconds, of the event or request that caused a message."""
    told = next((value for name, value in output.headers if name == "event_timestamp"), None)
    return output.timestamp_ms if told is None else int(told)


def _tell_failed(received: Sequence[Received]) -> None:
    """Says which batch failed, by its first message, and the traces of what is in it."""
    first = received[0]
    known = [traces.trace_id(found) for m in received if (found := traces.carried(m.headers))]
    log.error(
        "a batch of %d messages failed, the first of them %s/%d/%d; it is not committed",
        len(received), first.topic, first.partition, first.offset,
        extra={"trace_id": known[0] if known else None, "trace_ids": known[:_TOLD_TRACES]},
    )  # fmt: skip


class _Worker(faust.Worker):
    """Stops at what every process here stops at; Faust's own knows nothing of a terminal."""

    def install_signal_handlers(self) -> None:
        super().install_signal_handlers()
        when_told(self._schedule_shutdown)


def run(application: Application) -> None:
    """Runs the application until it is told to stop.

    Raises:
        BrokerError: a topic is missing, or the broker did not answer.
        SystemExit: 0 when it was told to, 1 when the application failed; the log says why.
    """
    asyncio.run(check_role(application.given, application.role))
    starting.tell("joining the group")
    worker = _Worker(application, override_logging=False, quiet=True)
    worker.spinner = None
    log.info("%s starts on %s", application.role, application.given.kafka)
    try:
        worker.execute_from_commandline()
    finally:
        reason = application.crash_reason
        refusal = None if reason is None else worded(application.given, reason)
        if refusal is not None:
            log.error(refusal)
        log.info("%s stopped", application.role)
