"""Outputs on their way: acknowledged in any order, committed in none but that of the log.

A real broker acknowledges in the order that it likes, so producer and consumer are played here.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    KafkaConnectionError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import OffsetAndMetadata
from prometheus_client import CollectorRegistry, Counter, Histogram

from stream.kafka.marks import Mark, Point
from stream.settings import Settings
from stream.workers.publishing import delivery as module
from stream.workers.publishing import packing
from stream.workers.publishing.delivery import Delivery
from stream.workers.publishing.output import Output
from stream.workers.publishing.packing import Packing
from topics.catalogue import DEAD_LETTERS

LETTERS = DEAD_LETTERS.name
ZERO, ONE = TopicPartition("in", 0), TopicPartition("in", 1)


class Producer:
    """Takes what is sent; the test says when it is acknowledged."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, asyncio.Future[None]]] = []
        self.partitions: dict[str, int] = {}
        self.topics: list[str] = []  # of each batch
        self.renewals = 0

    async def partitions_for(self, _: str) -> set[int]:
        return {0, 1}

    def create_batch(self) -> list[bytes]:
        return Builder()

    async def send_batch(
        self, builder: Builder, topic: str, *, partition: int
    ) -> asyncio.Future[None]:
        self.topics.append(topic)
        future = asyncio.get_running_loop().create_future()
        self.sent += [(value, future) for value in builder.values]
        self.partitions |= {value.decode(): partition for value in builder.values}
        return future

    def names(self) -> list[str]:
        return [value.decode() for value, _ in self.sent]

    def acknowledge(self, name: str) -> None:
        [future] = [f for value, f in self.sent if value.decode() == name and not f.done()]
        future.set_result(None)

    def fail(self, name: str, error: Exception) -> None:
        [future] = [f for value, f in self.sent if value.decode() == name and not f.done()]
        future.set_exception(error)


class Builder:
    def __init__(self) -> None:
        self.values: list[bytes] = []

    def append(self, value: bytes, **_: Any) -> object:
        self.values.append(value)
        return self

    def size(self) -> int:
        return sum(map(len, self.values))


class Consumer:
    def __init__(self) -> None:
        self.there = {0, 1}
        self.commits: list[dict[int, int]] = []
        self.metadata: dict[int, str] = {}
        self.error: Exception | None = None

    def partitions_for_topic(self, _: str) -> set[int]:
        return self.there

    async def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        if self.error is not None:
            raise self.error
        if any(source.partition not in self.there for source in offsets):
            await asyncio.Event().wait()  # as aiokafka does, which tries again for ever
        self.commits.append({source.partition: end.offset for source, end in offsets.items()})
        self.metadata |= {source.partition: end.metadata for source, end in offsets.items()}


@pytest.fixture
def producer() -> Producer:
    return Producer()


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


@pytest.fixture
def on_its_way(producer: Producer, consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> Delivery:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.0)
    registry = CollectorRegistry()
    settings = Settings(batches_in_flight=3)

    async def renewed() -> Producer:
        producer.renewals += 1
        return producer

    made = Delivery(
        producer, renewed, consumer, Packing("tracker", settings), settings, lambda: False,
        Counter("outputs", "-", ["topic"], registry=registry),
        Histogram("seconds", "-", registry=registry), lambda outputs: None,
    )  # fmt: skip
    made.take_on({ZERO: Point(0), ONE: Point(0)})
    return made


def output(name: str) -> tuple[int, Output]:
    """Of the partition that the name ends with."""
    return int(name[-1]), Output("out", None, name.encode(), 0)


async def nobody_tells(*_: object) -> dict[str, str]:
    """Of no setting of a topic."""
    return {}


async def pause() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_later_batch_waits_for_an_earlier_one_of_its_partition(
    on_its_way: Delivery, producer: Producer, consumer: Consumer
) -> None:
    await on_its_way.begin([output("a0"), output("a1")], {ZERO: Point(10), ONE: Point(5)})
    await on_its_way.begin([output("b0")], {ZERO: Point(20)})
    await pause()
    producer.acknowledge("b0")
    await pause()
    assert consumer.commits == []
    producer.acknowledge("a1")
    await pause()
    assert consumer.commits == [{1: 5}], "the other partition does not wait"
    producer.acknowledge("a0")
    await on_its_way.drain()
    assert consumer.commits[-1] == {0: 20}
    assert on_its_way.committed(ZERO) == 20


async def test_outputs_go_to_the_partition_of_their_number(
    on_its_way: Delivery, producer: Producer
) -> None:
    outputs = [output("a0"), output("b1"), output("c5")]
    await on_its_way.begin(outputs, {ZERO: Point(1), ONE: Point(1)})
    await pause()
    assert producer.partitions == {"a0": 0, "b1": 1, "c5": 1}, "modulo the topic's partitions"
    for name in producer.names():
        producer.acknowledge(name)
    await on_its_way.drain()


async def test_so_many_batches_are_in_flight_and_no_more(
    on_its_way: Delivery, producer: Producer
) -> None:
    await on_its_way.begin([output("a0")], {ZERO: Point(1)})
    await on_its_way.begin([output("b0")], {ZERO: Point(2)})
    third = asyncio.create_task(on_its_way.begin([output("c0")], {ZERO: Point(3)}))
    await pause()
    assert not third.done()
    producer.acknowledge("a0")
    await third
    for name in ("b0", "c0"):
        producer.acknowledge(name)
    await on_its_way.drain()


async def test_after_a_failure_all_that_is_in_flight_is_sent_again_in_order(
    on_its_way: Delivery, producer: Producer, consumer: Consumer
) -> None:
    await on_its_way.begin([output("a0")], {ZERO: Point(1)})
    await on_its_way.begin([output("b0")], {ZERO: Point(2)})
    await pause()
    producer.acknowledge("b0")
    producer.fail("a0", KafkaConnectionError())
    drained = asyncio.create_task(on_its_way.drain())
    await pause()
    assert producer.names() == ["a0", "b0", "a0", "b0"]
    assert consumer.commits == []
    producer.acknowledge("b0")
    producer.acknowledge("a0")
    await drained
    assert consumer.commits == [{0: 2}]


async def test_what_the_broker_refuses_is_raised_and_not_committed(
    on_its_way: Delivery, producer: Producer, consumer: Consumer
) -> None:
    await on_its_way.begin([output("a0")], {ZERO: Point(1)})
    await pause()
    producer.fail("a0", TopicAuthorizationFailedError())
    with pytest.raises(TopicAuthorizationFailedError):
        await on_its_way.drain()
    on_its_way.abandon()
    assert consumer.commits == []


async def test_what_is_too_large_is_a_dead_letter_and_all_is_sent_again_under_another_name(
    on_its_way: Delivery,
    producer: Producer,
    consumer: Consumer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packing, "configured", nobody_tells)
    await on_its_way.begin([output("a0")], {ZERO: Point(1)})
    await on_its_way.begin([output("b0")], {ZERO: Point(2)})
    await pause()
    producer.fail("a0", MessageSizeTooLargeError())
    producer.fail("b0", OutOfOrderSequenceNumber())
    drained = asyncio.create_task(on_its_way.drain())
    await pause()
    assert (producer.names(), producer.topics) == (["a0", "b0"] * 2, ["out"] * 2 + [LETTERS, "out"])
    assert producer.renewals == 1
    producer.acknowledge("a0")
    producer.acknowledge("b0")
    await drained
    assert consumer.commits == [{0: 1}, {0: 2}]


async def test_partitions_that_were_taken_away_are_not_committed(
    on_its_way: Delivery, producer: Producer, consumer: Consumer
) -> None:
    consumer.error = CommitFailedError()
    await on_its_way.begin([output("a0")], {ZERO: Point(1)})
    await pause()
    producer.acknowledge("a0")
    await on_its_way.drain()
    assert on_its_way.committed(ZERO) == 0


async def test_outputs_without_records_are_waited_for_too(
    on_its_way: Delivery, producer: Producer, consumer: Consumer
) -> None:
    await on_its_way.begin([output("idle1")], {})
    drained = asyncio.create_task(on_its_way.drain())
    await pause()
    assert not drained.done()
    producer.acknowledge("idle1")
    await drained
    assert consumer.commits == []


@pytest.fixture
def silence(on_its_way: Delivery, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker stood still for longer than a session lasts."""
    seconds = Settings().session_timeout + 1
    monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + seconds)


@pytest.mark.usefixtures("silence")
async def test_after_a_silence_nothing_is_sent_before_the_group_knows_the_worker(
    on_its_way: Delivery, producer: Producer, consumer: Consumer
) -> None:
    await on_its_way.begin([output("a0")], {ZERO: Point(10)})
    await pause()
    assert consumer.commits == [{0: 0, 1: 0}], "what is committed, once more"
    producer.acknowledge("a0")
    await on_its_way.drain()
    assert consumer.commits[1:] == [{0: 10}]


@pytest.mark.usefixtures("silence")
async def test_an_expelled_worker_sends_nothing_until_it_has_partitions_again(
    on_its_way: Delivery, producer: Producer, consumer: Consumer
) -> None:
    consumer.error = CommitFailedError()
    await on_its_way.begin([output("a0")], {ZERO: Point(10)})
    await on_its_way.drain()
    consumer.error = None
    await on_its_way.begin([output("b0")], {ZERO: Point(20)})
    await on_its_way.drain()
    assert producer.sent == [] and consumer.commits == []
    assert on_its_way.committed(ZERO) == 0
    on_its_way.take_on({ZERO: Point(10)})
    await on_its_way.begin([output("b0")], {ZERO: Point(20)})
    await pause()
    assert producer.names() == ["b0"]
    producer.acknowledge("b0")
    await on_its_way.drain()
    assert on_its_way.committed(ZERO) == 20


async def test_an_offset_is_committed_with_the_mark_of_the_record_before_it(
    on_its_way: Delivery, producer: Producer, consumer: Consumer
) -> None:
    first, second = (Point(at, Mark(at - 1, 1_000 + at, "0123456789abcdef")) for at in (10, 20))
    await on_its_way.begin([output("a0")], {ZERO: first})
    await on_its_way.begin([output("b0")], {ZERO: second})
    await pause()
    producer.acknowledge("a0")
    await pause()
    assert Point.committed(OffsetAndMetadata(10, consumer.metadata[0])) == first
    producer.acknowledge("b0")
    await on_its_way.drain()
    assert Point.committed(OffsetAndMetadata(20, consumer.metadata[0])) == second


async def test_a_partition_that_begins_anew_is_committed_where_it_does_and_not_as_it_was(
    on_its_way: Delivery, producer: Producer, consumer: Consumer
) -> None:
    await on_its_way.begin([output("a0")], {ZERO: Point(40)})
    await pause()
    producer.acknowledge("a0")
    await on_its_way.drain()
    await on_its_way.begin_anew({ZERO: Point(0)})
    await on_its_way.begin([output("b0")], {ZERO: Point(30)})
    await pause()
    producer.acknowledge("b0")
    await on_its_way.drain()
    assert consumer.commits == [{0: 40}, {0: 0}, {0: 30}]


async def test_a_partition_that_is_gone_keeps_no_other_from_being_committed(
    on_its_way: Delivery,
    producer: Producer,
    consumer: Consumer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_COMMIT_SECONDS", 0.01)
    await on_its_way.begin([output("a0"), output("a1")], {ZERO: Point(10), ONE: Point(5)})
    await pause()
    consumer.there = {1}
    for name in ("a0", "a1"):
        producer.acknowledge(name)
    await on_its_way.drain()
    assert consumer.commits[-1] == {1: 5}
