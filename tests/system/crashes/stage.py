"""Where scenarios are played: a broker, the workers, who starts them again, and what they said."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

from stream.gateway.roles import ROLES, reads
from stream.kafka import groups
from stream.kafka.broker import BrokerError, connect_admin, create_topics, describe
from stream.kafka.groups import DescribeGroups
from stream.kafka.pacing import pace_fetches
from stream.scorer.calibrator import GROUP as CALIBRATOR
from stream.settings import Duration, Settings
from stream.sources.messages import Message
from tests.patience import PATIENCE, until
from tests.system.brokers import BROKERS, EMBEDDED, Broker
from tests.system.crashes.mortal_role import POINTS, Traps
from tests.system.crashes.scenario import (
    Abort,
    Events,
    Freeze,
    Kill,
    Pause,
    Recreate,
    Roll,
    Start,
    Step,
    Stop,
    Wake,
)
from tests.system.crashes.sent_log import SentLog
from tests.system.environment import environment
from tests.system.tracker_log import BY_SENDERS, create_stamped_by_senders
from topics.catalogue import (
    CATALOGUE,
    EDGE_REQUESTS,
    FORECAST_SCORES,
    SOCIAL_EVENTS,
)

log = logging.getLogger(__name__)

MORTAL = Path(__file__).with_name("mortal_role.py")
MOST_BEHIND = 4_000  # messages that may wait before more are sent
_LOOK_SECONDS = 0.1
_BROKER_AWAY_SECONDS = 5.0
_TELLING_SECONDS = 2.0

# Small batches, so that a blow falls into one, and ages that pass within a scenario.
SETTINGS = Settings(
    session_timeout=Duration(6),  # the least that brokers allow
    poll_records=100,
    forecast_batch=32,
    growth_first=1,  # every cascade has a final outcome
    growth_factor=4.0,
    max_events=64,
    snapshot_ages=(Duration(64), Duration(256)),
    horizons=(Duration(300), Duration(3600), Duration(172_800)),
    window=Duration(60),
    checkpoint_interval=Duration(2),
    forecaster="boosting",
    ranker="decayed",
    skip_after=Duration(0),  # the undisturbed run gets the log late, and is to say all of it
)


@dataclass(frozen=True)
class Exit:
    """A worker that ended by itself, and its last lines."""

    role: str
    instance: str
    code: int
    tail: str


class Worker:
    """One worker under the eye of whoever starts it again.

    Attributes:
        wanted: whether it is to run.
        traps: where it is to die or to stand still.
    """

    def __init__(self, role: str, instance: str, settings: Settings, folder: Path) -> None:
        self.role = role
        self.instance = instance
        self.wanted = True
        self.starts = 0
        self._folder = folder / f"{role}-{instance}"
        self._folder.mkdir(exist_ok=True)
        self.log = folder / f"{role}-{instance}.log"
        self.traps = Traps(self._folder)
        given = dataclasses.replace(settings, instance=instance, data_dir=self._folder / "data")
        self._environment = environment(given)
        self.start()

    def start(self) -> None:
        """Starts it, its log going on where it was."""
        self.wanted = True
        self.starts += 1
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                [sys.executable, str(MORTAL), self.role, str(self._folder)],
                stdout=sink, stderr=subprocess.STDOUT, env=self._environment,
                start_new_session=True,
            )  # fmt: skip

    def disarm(self) -> None:
        """Takes away the traps that it has not come to."""
        for point in POINTS:
            self.traps.take_away(point)

    @property
    def stands_still(self) -> bool:
        """Whether its process is stopped (or gone: then there is nobody to wait for)."""
        try:
            return psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            return True

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to it if it is there."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def wait(self) -> None:
        """Until it has ended; one that does not is killed."""
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def tail(self, lines: int = 12) -> str:
        """The last lines that it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Stage:
    """A broker with workers on it, while steps are taken.

    Attributes:
        settings: those of the workers.
        exits: workers that ended by themselves.
        kills: blows dealt, by role and point.
        past_logs: the events of topics that were deleted, one list a topic.
        brokers: all of them.
    """

    def __init__(
        self, settings: Settings, folder: Path, brokers: Sequence[Broker], seed: int = 0
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.exits: list[Exit] = []
        self.kills: Counter[str] = Counter()
        self.past_logs: list[list[ConsumerRecord]] = []
        self.steps = 0
        self.brokers = brokers
        self._gone: dict[Broker, float] = {}  # brokers that were killed, and when
        self._random = random.Random(seed)
        self._workers: dict[tuple[str, str], Worker] = {}
        self._admin: AIOKafkaAdminClient | None = None
        self._freezing: dict[Worker, asyncio.Task[None]] = {}
        self._past_offsets = 0  # of the events of topics that were deleted
        self._before: dict[str, int] = {}  # what a role had worked off at its last misfortune

    # ------------------------------------------------------------------ the workers

    def start(self, role: str, instance: str = "0") -> Worker:
        """Starts a worker."""
        known = self._workers.get((role, instance))
        if known is None:
            known = Worker(role, instance, self.settings, self.folder)
            self._workers[role, instance] = known
        else:
            known.start()
        return known

    @property
    def workers(self) -> list[Worker]:
        """All that were ever started."""
        return list(self._workers.values())

    @property
    def restarts(self) -> int:
        """How often a worker was started again."""
        return sum(worker.starts - 1 for worker in self.workers)

    async def supervise(self) -> None:
        """Starts again, for ever, whatever has ended and is wanted."""
        while True:
            for broker, since in list(self._gone.items()):
                if time.monotonic() - since > _BROKER_AWAY_SECONDS:
                    del self._gone[broker]
                    broker.start()
            for worker in self.workers:
                code = worker.process.poll()
                if code is None or not worker.wanted:
                    continue
                if code != -signal.SIGKILL:
                    self.exits.append(Exit(worker.role, worker.instance, code, worker.tail()))
                    await asyncio.sleep(1)  # a failure that repeats itself is not to spin
                worker.start()
            await asyncio.sleep(_LOOK_SECONDS)

    async def stop_all(self) -> dict[str, int]:
        """Asks all to end, those upstream first; exit codes by name."""
        for worker in self.workers:
            worker.wanted = False
            worker.signal(signal.SIGCONT)
            worker.signal(signal.SIGTERM)
        await asyncio.gather(*(asyncio.to_thread(worker.wait) for worker in self.workers))
        return {f"{w.role}-{w.instance}": w.process.wait() for w in self.workers}

    def kill_all(self) -> None:
        """Leaves no process behind."""
        for worker in self.workers:
            worker.wanted = False
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()

    # ------------------------------------------------------------------ the steps

    async def take(self, step: Step, sent: SentLog, senders: Senders) -> None:
        """Takes one step."""
        self.steps += 1
        match step:
            case Events(count, codec):
                await self._send(count, sent, await senders.compressing(codec))
                if codec:
                    self.kills[f"compressed by {codec}"] += 1
            case Abort(count):
                await senders.abort(sent.unheard(count))
                self.kills["transaction aborted"] += 1
            case Recreate():
                await self._begin_again(sent, senders)
            case Kill("broker", number):
                broker = self.brokers[int(number)]
                broker.signal(signal.SIGKILL)
                self._gone[broker] = time.monotonic()
                self.kills["broker killed"] += 1
            case Roll():
                await self._roll()
            case Kill(role, instance, None):
                await self._progress(role)
                self._workers[role, instance].signal(signal.SIGKILL)
                await self._note_blow(role, "anywhere")
            case Kill(role, instance, str(point)):
                self._workers[role, instance].traps.set(point, signal.SIGKILL)
                await self._note_blow(role, point)
            case Stop(role, instance):
                worker = self._workers[role, instance]
                worker.wanted = False
                worker.signal(signal.SIGTERM)
                await asyncio.to_thread(worker.wait)
                # A static member is expected back for as long as its session lasts.
                await asyncio.sleep(self.settings.session_timeout)
                await self._expel(worker)
            case Start(role, instance):
                self.start(role, instance)
            case Freeze(role, instance, None):
                await self._progress(role)
                worker = self._workers[role, instance]
                worker.signal(signal.SIGSTOP)
                await self._freeze(worker, "anywhere")
            case Freeze(role, instance, str(point)):
                worker = self._workers[role, instance]
                worker.traps.set(point, signal.SIGSTOP)
                self._freezing[worker] = asyncio.create_task(self._freeze(worker, point))
            case Wake(role, instance):
                await self._wake(self._workers[role, instance])
            case Pause("broker", seconds, number):
                await _still(self.brokers[int(number)], seconds)
                self.kills["broker paused"] += 1
            case Pause(role, seconds, instance):
                await _still(self._workers[role, instance], seconds)
                self.kills[f"{role} paused"] += 1

    async def _freeze(self, worker: Worker, how: str) -> None:
        """Waits until a worker stands still, and has its group go on without it."""
        while not worker.stands_still:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)
        await asyncio.sleep(self.settings.session_timeout)
        await self._expel(worker)
        await self._note_blow(worker.role, f"frozen {how}")

    async def _wake(self, worker: Worker) -> None:
        """Lets a worker go on; one that has not come to its point is not frozen any more."""
        freezing = self._freezing.pop(worker, None)
        if freezing is not None:
            await self._until(
                lambda done: (
                    freezing.done() or worker.stands_still or not any(w for _, w in done.values())
                ),
                f"the {worker.role} does not come to its point, and not all is worked off",
            )
            worker.disarm()
            if not freezing.done() and not worker.stands_still:
                freezing.cancel()
            else:
                await freezing
        worker.signal(signal.SIGCONT)

    async def _note_blow(self, role: str, how: str) -> None:
        self.kills[f"{role} {how}"] += 1
        self._before[role] = (await self.worked_off())[role][0]

    async def _send(self, count: int, sent: SentLog, producer: AIOKafkaProducer) -> None:
        """Sends, then waits for a share of it to be worked off, and for what is far behind."""
        before = sent.sent[SOCIAL_EVENTS.name]
        now = time.time()
        acknowledged = [
            await producer.send(
                message.topic, message.value, key=message.key,
                # A clock that is ahead stamps the message likewise.
                timestamp_ms=round(message.timestamp * 1000) if message.timestamp > now else None,
            )
            for message in sent.take(count)
        ]  # fmt: skip
        await asyncio.gather(*acknowledged)
        share = self._random.random()
        target = before + share * (sent.sent[SOCIAL_EVENTS.name] - before)

        def enough(done: Mapping[str, tuple[int, int]]) -> bool:
            behind = max(waiting for _, waiting in done.values())
            return done["tracker"][0] >= target and behind < MOST_BEHIND

        await self._until(enough, "the events are not worked off")
        await asyncio.sleep(self._random.random() * 0.05)

    async def _begin_again(self, sent: SentLog, senders: Senders) -> None:
        """Ends the log of events, and has a new one begin on a topic made again."""
        producer = await senders.compressing(None)
        await self.drain()
        for worker in self.workers:
            worker.disarm()
        for partition, message in sent.ends(self.settings):
            if message.topic == SOCIAL_EVENTS.name:
                await producer.send_and_wait(
                    message.topic, message.value, key=message.key, partition=partition
                )
        await self.drain()
        self.past_logs.append(await self._read(SOCIAL_EVENTS.name))
        await self.recreate_events(senders)
        sent.begin_again(self.settings)
        self.kills["topic recreated"] += 1
        self._before.pop("tracker", None)

    async def recreate_events(self, senders: Senders) -> None:
        """Deletes the topic of events and makes it again."""
        await senders.stop()  # they number what they send, and would go on with the old log's
        admin = await self._connected()
        self._past_offsets += sum((await self.ends([SOCIAL_EVENTS.name])).values())
        configs = SOCIAL_EVENTS.configs() | BY_SENDERS
        anew = NewTopic(
            SOCIAL_EVENTS.name, self.settings.partitions, self.settings.replication,
            topic_configs=configs,
        )  # fmt: skip
        made = False
        while not made:
            await admin.delete_topics([anew.name])
            # A consumer that asks for it in between makes it on the embedded broker, with one
            # partition; Apache Kafka does so only where it is configured to.
            made = (await admin.create_topics([anew])).topic_errors[0][1] == 0

    async def _roll(self) -> None:
        """Restarts each broker, the next once the last has caught up."""
        await until(lambda: not self._gone, "a broker that was killed is not started")
        await until(self._is_in_sync, "a broker that was started does not catch up")
        for broker in self.brokers:
            await asyncio.to_thread(broker.stop)
            broker.start()
            await until(self._is_in_sync, "a broker does not catch up")
            self.kills["broker restarted"] += 1

    async def _is_in_sync(self) -> bool:
        """Whether every broker has a copy of all that there is."""
        try:
            described = await describe(self.settings, CATALOGUE)
        except (BrokerError, KafkaError) as error:
            log.info("the brokers do not tell (%s); asking again", error)
            return False
        return all(
            len(partition["isr"]) == len(self.brokers)
            for topic in described.values()
            for partition in topic["partitions"]
        )

    async def _progress(self, role: str) -> None:
        """Returns once the role has worked since its last misfortune, or has nothing to do."""
        before = self._before.get(role, 0)

        def worked(done: Mapping[str, tuple[int, int]]) -> bool:
            return done[role][0] > before or done[role][1] == 0

        await self._until(worked, f"the {role} does not get on")
        await asyncio.sleep(self._random.random() * 0.2)

    async def drain(self) -> None:
        """Returns once everything has been worked off, by all, to the end."""
        calm = 0

        def quiet(done: Mapping[str, tuple[int, int]]) -> bool:
            nonlocal calm
            calm = calm + 1 if not any(waiting for _, waiting in done.values()) else 0
            return calm >= 8  # what one role says, the next has yet to hear

        await self._until(quiet, "there is still something to be worked off", 4 * PATIENCE)

    async def _until(self, enough: object, trouble: str, patience: float = PATIENCE) -> None:
        deadline = time.monotonic() + patience
        while True:
            done = await self.worked_off()
            if enough(done):  # type: ignore[operator]
                return
            if time.monotonic() > deadline:
                for worker in self.workers:
                    worker.signal(signal.SIGUSR1)  # it writes into its log what it waits for
                await asyncio.sleep(_TELLING_SECONDS)
                tails = "\n\n".join(f"{w.role}-{w.instance}:\n{w.tail(25)}" for w in self.workers)
                raise TimeoutError(f"{trouble} after {patience:.0f} s: {done}\n{tails}")
            await asyncio.sleep(_LOOK_SECONDS)

    # ------------------------------------------------------------------ the broker

    async def worked_off(self) -> dict[str, tuple[int, int]]:
        """Of each role the messages it has committed and those that wait, over all its topics."""
        while True:
            try:
                return await self._worked_off()
            except (KafkaError, OSError) as error:  # it may be paused
                log.info("the broker does not answer (%s); asking again", error)
                await self._disconnect()
                await asyncio.sleep(1)

    async def _worked_off(self) -> dict[str, tuple[int, int]]:
        admin = await self._connected()
        theirs_to_read = {role: (role, reads(role)) for role in ROLES}
        theirs_to_read["calibrator"] = (CALIBRATOR, [FORECAST_SCORES.name])
        names = {name for _, topics in theirs_to_read.values() for name in topics}
        ends = await self.ends(names)
        done = {}
        for role, (group, topics) in theirs_to_read.items():
            if not any(worker.role == role for worker in self.workers) and role in ROLES:
                continue
            if role == "calibrator" and "scorer" not in done:
                continue
            committed = await groups.committed(admin, self.settings.group(group))
            theirs = {tp: end for tp, end in ends.items() if tp.topic in topics}
            reached = sum(committed.get(tp, 0) for tp in theirs)
            # What is committed beyond the end is of a log that is not there any more.
            waiting = sum(abs(end - committed.get(tp, 0)) for tp, end in theirs.items())
            done[role] = reached + (self._past_offsets if role == "tracker" else 0), waiting
        return done

    async def ends(self, names: Iterable[str]) -> dict[TopicPartition, int]:
        """End offsets of topics."""
        return await self._consumer.end_offsets(
            [
                TopicPartition(name, number)
                for name in names
                for number in range(self.settings.partitions if CATALOGUE[name].partitioned else 1)
            ]
        )

    async def _connected(self) -> AIOKafkaAdminClient:
        if self._admin is None:
            self._admin = await connect_admin(self.settings)
            self._consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka)
            pace_fetches(self._consumer, 0.25)
            await self._consumer.start()
        return self._admin

    async def _disconnect(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            await self._consumer.stop()
            await admin.close()

    async def close(self) -> None:
        """Disconnects, and leaves no process behind."""
        self.kill_all()
        await self._disconnect()

    async def _expel(self, worker: Worker) -> None:
        """Has the groups of a worker go on without it, where the broker does not see to it."""
        if BROKERS.kind != EMBEDDED:
            return
        admin = await self._connected()
        groups = [worker.role, CALIBRATOR] if worker.role == "scorer" else [worker.role]
        for name in groups:
            group = self.settings.group(name)
            coordinator = await admin.find_coordinator(group)
            described = await admin._client.send(coordinator, DescribeGroups(group))
            client = f"{self.settings.group(name)}.{worker.instance}"
            for answer in described.groups:
                for member, client_id, *_ in answer[-1]:
                    if client_id == client:
                        await admin._client.send(coordinator, LeaveGroupRequest(group, member))

    async def held(self) -> dict[str, list[ConsumerRecord]]:
        """All that the broker holds, by topic, in order by partition."""
        await self._connected()
        return {name: await self._read(name) for name in CATALOGUE}

    async def _read(self, name: str) -> list[ConsumerRecord]:
        ends = await self.ends([name])
        records: list[ConsumerRecord] = []
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka, auto_offset_reset="earliest",
            isolation_level="read_committed",
        )  # fmt: skip
        pace_fetches(consumer)
        async with consumer:
            consumer.assign(list(ends))
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for fetched in (await consumer.getmany(timeout_ms=200)).values():
                    records += fetched
        return sorted(records, key=lambda record: (record.partition, record.offset))


async def _still(whom: Broker | Worker, seconds: float) -> None:
    whom.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        whom.signal(signal.SIGCONT)


@asynccontextmanager
async def opened(
    settings: Settings, folder: Path, seed: int = 0, brokers: int = 1
) -> AsyncIterator[Stage]:
    """A stage with so many brokers of its own, that hold a copy each, and nobody on it yet."""
    with BROKERS.own(folder / "broker", count=brokers) as own:
        checkpoints = str(folder / "checkpoints")
        settings = settings.having(
            kafka=own.address, data_dir=folder, checkpoint_url=checkpoints, replication=brokers
        )
        await create_stamped_by_senders(settings)  # so that a second run can have the same stamps
        await create_topics(settings)
        stage = Stage(settings, folder, own.brokers, seed)
        supervisor = asyncio.create_task(stage.supervise())
        try:
            yield stage
        finally:
            supervisor.cancel()
            for broker in own.brokers:
                broker.signal(signal.SIGCONT)
            await stage.close()


@dataclass(frozen=True)
class Played:
    """What came of a scenario."""

    held: dict[str, list[ConsumerRecord]]
    past_logs: list[list[ConsumerRecord]]
    exits: list[Exit]
    codes: dict[str, int]
    kills: Counter[str]
    restarts: int
    steps: int


async def finish(stage: Stage, sent: SentLog, senders: Senders) -> Played:
    """Ends the log, lets everything be worked off, stops all, and reads what was said."""
    producer = await senders.compressing(None)
    await stage.drain()
    for worker in stage.workers:
        worker.disarm()
    for partition, message in sent.ends(stage.settings):
        await producer.send_and_wait(
            message.topic, message.value, key=message.key, partition=partition
        )
    await stage.drain()
    return await _over(stage)


async def _over(stage: Stage) -> Played:
    codes = await stage.stop_all()
    held = await stage.held()
    return Played(
        held, stage.past_logs, stage.exits, codes, stage.kills, stage.restarts, stage.steps
    )


async def play(
    steps: Iterable[Step],
    sent: SentLog,
    folder: Path,
    workers: Mapping[str, int],
    settings: Settings = SETTINGS,
    seed: int = 0,
    brokers: int = 1,
) -> Played:
    """Plays a scenario with so many workers of each role."""
    async with opened(settings, folder, seed, brokers) as stage:
        for role, count in workers.items():
            for instance in range(count):
                stage.start(role, str(instance))
        async with feeding(stage) as senders:
            for step in steps:
                await stage.take(step, sent, senders)
            return await finish(stage, sent, senders)


class Senders:
    """What sends the log: once each, in order, however long the broker is away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producers: dict[str | None, AIOKafkaProducer] = {}

    async def compressing(self, codec: str | None) -> AIOKafkaProducer:
        """The one that compresses by this codec."""
        if codec not in self._producers:
            producer = self._producers[codec] = self._made(compression_type=codec)
            await producer.start()
        return self._producers[codec]

    async def abort(self, messages: Iterable[Message]) -> None:
        """Sends messages in a transaction that is aborted once the broker has them."""
        async with self._made(transactional_id="soak") as producer:
            await producer.begin_transaction()
            for message in messages:
                await producer.send_and_wait(message.topic, message.value, key=message.key)
            await producer.abort_transaction()

    async def stop(self) -> None:
        """Disconnects all; whoever is asked for next is another one."""
        producers, self._producers = self._producers, {}
        await asyncio.gather(*(producer.stop() for producer in producers.values()))

    def _made(self, **options: str | None) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka, enable_idempotence=True,
            request_timeout_ms=300_000, **options,
        )  # fmt: skip


@asynccontextmanager
async def feeding(stage: Stage) -> AsyncIterator[Senders]:
    """Who sends, while steps are taken."""
    senders = Senders(stage.settings)
    try:
        yield senders
    finally:
        await senders.stop()


async def undisturbed(
    played: Played,
    folder: Path,
    roles: Iterable[str],
    settings: Settings = SETTINGS,
) -> Played:
    """Plays the log that a run left, message for message in its partition, and nothing else."""
    held = played.held
    logs = [*played.past_logs, held[SOCIAL_EVENTS.name]]
    async with opened(settings, folder) as stage:
        async with feeding(stage) as senders:
            await _replay(held[EDGE_REQUESTS.name], senders)
            for number, events in enumerate(logs):
                if number:
                    await stage.recreate_events(senders)
                await _replay(events, senders)
                if not number:
                    for role in roles:
                        stage.start(role)
                await stage.drain()
        return await _over(stage)


async def _replay(records: Iterable[ConsumerRecord], senders: Senders) -> None:
    producer = await senders.compressing(None)
    acknowledged = [
        await producer.send(
            record.topic, record.value, key=record.key,
            partition=record.partition, timestamp_ms=record.timestamp,
        )
        for record in records
    ]  # fmt: skip
    await asyncio.gather(*acknowledged)
