"""The feeder, against a real broker: all is acknowledged, keys keep their order, it stops."""

import asyncio
from collections import defaultdict

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.partitioner import DefaultPartitioner

from stream.http.listening import free_port
from stream.kafka.broker import BrokerError, create_topics_now
from stream.kafka.partitions import partition_hash
from stream.local.embedded import embedded
from stream.settings import Settings
from stream.sources import feed as feed_module
from stream.sources.feed import FeedError, connect, feed
from stream.sources.holding import Hold
from stream.sources.messages import EVENTS, REQUESTS, Message, SourceError
from stream.sources.simulate import Simulation
from tests.clock import Clock
from tests.patience import PATIENCE, until


class Given:
    """A source of given messages."""

    name = "given"

    def __init__(self, *batches):
        self.batches = batches
        self.total = sum(map(len, batches))

    def __iter__(self):
        return iter(self.batches)


def messages(count, first=0.0, step=0.0, keys=7):
    return [
        Message(EVENTS, b"key-%d" % (n % keys), b"%d" % n, first + n * step) for n in range(count)
    ]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    with embedded(tmp_path_factory.mktemp("broker")) as (address, _):
        create_topics_now(Settings(kafka=address))
        yield address


async def read(kafka, topic):
    """(key, value) pairs of each partition, in order."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = sorted(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        found = {partition.partition: [] for partition in partitions}
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                found[partition.partition] += [(record.key, record.value) for record in records]
        return found
    finally:
        await consumer.stop()


async def sent(kafka, source, **options):
    producer = await connect(Settings(kafka=kafka), [EVENTS, REQUESTS])
    try:
        return await feed(source, producer, **options)
    finally:
        await producer.stop()


@pytest.mark.system
async def test_everything_arrives_once_in_order_of_each_key(tmp_path):
    with embedded(tmp_path) as (kafka, _):
        await asyncio.to_thread(create_topics_now, Settings(kafka=kafka))
        batches = [batch for batch, _ in zip(Simulation(seed=1), range(30), strict=False)]
        counts = await sent(kafka, Given(*batches))
        expected = defaultdict(list)
        for batch in batches:
            for message in batch:
                expected[message.topic, message.key].append(message.value)
        assert counts.total == 30_000
        assert counts.latest == batches[-1][-1].timestamp
        for topic in (EVENTS, REQUESTS):
            assert counts.counts[topic] == sum(
                len(values) for (name, _), values in expected.items() if name == topic
            )
            found = await read(kafka, topic)
            arrived = defaultdict(list)
            for partition, pairs in found.items():
                for key, value in pairs:
                    arrived[topic, key].append(value)
                    assert DefaultPartitioner()(key, [0, 1, 2, 3], []) == partition
            assert arrived == {key: values for key, values in expected.items() if key[0] == topic}


def test_the_partition_is_kafkas(kafka):
    for number in range(100):
        key = b"cascade-%d" % number
        assert DefaultPartitioner()(key, [0, 1, 2, 3], []) == partition_hash(key) % 4


@pytest.mark.system
async def test_a_batch_larger_than_kafka_takes_is_sent_in_parts(kafka):
    large = [Message(EVENTS, b"key", bytes(200_000), 1.0) for _ in range(12)]
    counts = await sent(kafka, Given(large))
    assert counts.counts == {EVENTS: 12}


@pytest.mark.system
async def test_speed_paces_event_time(kafka, monkeypatch):
    clock = Clock().slept_on_by(monkeypatch, feed_module)
    began = clock.now
    gates = []

    async def gate():  # is asked before what is due is sent
        gates.append(clock.now - began)

    counts = await sent(kafka, Given(messages(100, 1000.0, 1.0)), speed=100, gate=gate)
    assert counts.total == 100
    assert gates[-1] == pytest.approx(0.99, abs=2 * feed_module.TICK)
    assert sum(clock.slept) == pytest.approx(gates[-1])


@pytest.mark.system
async def test_events_of_the_future_wait_for_their_time(kafka, monkeypatch):
    clock = Clock().slept_on_by(monkeypatch, feed_module)
    counts = await sent(kafka, Given(messages(3, clock.now + 3600)))
    assert counts.total == 3
    assert clock.slept == [3600]


@pytest.mark.system
async def test_it_stops_at_its_time(kafka, monkeypatch):
    """It would wait for an hour; what is left of its time it does wait, by the machine's clock."""
    clock = Clock().read_by(monkeypatch, feed_module)
    source = Given(messages(5), messages(5, clock.now + 3600))
    async with asyncio.timeout(PATIENCE):
        counts = await sent(kafka, source, until=clock.now + 0.3)
    assert counts.total == 5


@pytest.mark.system
async def test_it_stops_when_told(kafka):
    stop = asyncio.Event()
    counts = await sent(
        kafka,
        Given(*(messages(5) for _ in range(20_000))),
        stop=stop,
        on_sent=lambda running: stop.set() if running.total >= 100 else None,
    )
    assert 100 <= counts.total < 100_000


@pytest.mark.system
async def test_a_closed_gate_holds_it_back_and_does_not_outlast_its_time(kafka, monkeypatch):
    clock = Clock().read_by(monkeypatch, feed_module)
    opened = 0

    async def gate():
        nonlocal opened
        opened += 1
        if opened > 3:
            await asyncio.Event().wait()

    source = Given(*(messages(5) for _ in range(10)))
    async with asyncio.timeout(PATIENCE):
        counts = await sent(kafka, source, gate=gate, until=clock.now + 0.3)
    assert counts.total == 15


@pytest.mark.system
async def test_an_error_of_the_gate_is_raised(kafka):
    async def gate():
        raise RuntimeError("a role died")

    with pytest.raises(RuntimeError, match="a role died"):
        await sent(kafka, Given(messages(5)), gate=gate)


@pytest.mark.system
async def test_a_message_that_the_broker_refuses_is_an_error_with_the_count(kafka):
    fine, refused = messages(5), [Message(EVENTS, b"key", bytes(30 << 20), 1.0)]
    with pytest.raises(FeedError, match="acknowledged") as caught:
        await sent(kafka, Given(fine, refused))
    assert caught.value.sent.total == 5


async def test_speed_has_to_be_above_zero():
    with pytest.raises(SourceError, match="speed"):
        await feed(Given(), None, speed=0)


@pytest.mark.system
async def test_a_missing_broker_or_topic_says_what_to_do(tmp_path):
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerError, match="tidecast broker"):
        await connect(Settings(kafka=address), [EVENTS])
    with embedded(tmp_path) as (kafka, _):
        with pytest.raises(BrokerError, match="tidecast topics create"):
            await connect(Settings(kafka=kafka), [EVENTS])
        with pytest.raises(BrokerError, match=r"social\.events"):
            await connect(Settings(kafka=kafka), [EVENTS])  # asking did not create it


@pytest.mark.system
async def test_it_goes_no_further_than_the_hold_lets_it(kafka):
    hold = Hold(9.0, 5.0)
    totals = []
    feeding = asyncio.create_task(
        sent(
            kafka,
            Given(messages(20, step=1.0)),
            hold=hold,
            on_sent=lambda s: totals.append(s.total),
        )
    )
    await until(lambda: hold.held_at is not None and totals and totals[-1] == 10, "the hold")
    hold.go_on()
    await until(lambda: hold.held_at is not None and totals[-1] == 15, "the step")
    assert hold.held_at == 14.0
    hold.go_on()
    assert (await asyncio.wait_for(feeding, PATIENCE)).total == 20


@pytest.mark.system
async def test_one_that_is_held_can_be_stopped(kafka):
    hold, stop = Hold(4.0), asyncio.Event()
    feeding = asyncio.create_task(
        sent(kafka, Given(messages(20, step=1.0)), hold=hold, stop=stop, speed=1_000.0)
    )
    await until(lambda: hold.held_at is not None, "the hold")
    stop.set()
    assert (await asyncio.wait_for(feeding, PATIENCE)).total == 5
