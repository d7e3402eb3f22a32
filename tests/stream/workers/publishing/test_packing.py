"""What a topic takes, and what becomes of outputs that it does not.

The broker is played here, by what it takes: `system/kafka/messages/test_sizes.py` has a real one.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from stream.kafka.broker import BrokerError
from stream.letters.reading import Letter
from stream.settings import Settings
from stream.workers.publishing import packing
from stream.workers.publishing.output import TOO_LARGE, Output
from stream.workers.publishing.packing import Outputs, Packing
from topics.catalogue import DEAD_LETTERS

SETTINGS = Settings()
WHOLE = 1 << 20  # bytes of a batch that a producer packs


class Producer:
    """Takes batches of as many bytes as the topics do."""

    def __init__(self, takes: dict[str, int]) -> None:
        self.takes = takes
        self.taken: dict[str, list[bytes]] = defaultdict(list)
        self.sizes: list[int] = []

    async def partitions_for(self, _: str) -> set[int]:
        return {0}

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(WHOLE, 0)

    async def send_batch(
        self, builder: BatchBuilder, topic: str, *, partition: int
    ) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        batch = bytes(builder._build())
        self.sizes.append(len(batch))
        if len(batch) > self.takes.get(topic, WHOLE):
            future.set_exception(MessageSizeTooLargeError())
        else:
            future.set_result(None)
            self.taken[topic].append(batch)
        return future

    def values(self, topic: str) -> list[bytes | None]:
        return [record.value for batch in self.taken[topic] for record in DefaultRecordBatch(batch)]

    def letters(self) -> list[Letter]:
        return [
            Letter(record)
            for batch in self.taken[DEAD_LETTERS.name]
            for record in DefaultRecordBatch(batch)
        ]


async def published(producer: Producer, outputs: Outputs, packed: Packing) -> int:
    """How often they had to be sent until all were taken."""
    for attempt in range(1, 30):
        sent = await packed.send(producer, outputs)
        try:
            await asyncio.gather(*(future for futures in sent.values() for future in futures))
            return attempt
        except MessageSizeTooLargeError:
            [outputs] = await packed.mend([outputs])
    raise AssertionError("it is sent for ever")


@pytest.fixture(params=[True, False], ids=["told", "not told"])
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What topics take, which the broker tells, or not."""
    limits: dict[str, int] = {}

    async def configured(_: Settings, topics: Iterable[str], name: str) -> dict[str, str]:
        assert name == "max.message.bytes"
        return {topic: str(limits[topic]) for topic in topics if request.param}

    monkeypatch.setattr(packing, "configured", configured)
    return limits


def outputs(*sizes: int, topic: str = "out") -> list[tuple[int, Output]]:
    return [(0, Output(topic, b"k", bytes([i]) * size, 5)) for i, size in enumerate(sizes)]


async def test_small_messages_come_in_smaller_batches_in_their_order(
    limits: dict[str, int],
) -> None:
    limits["out"] = 1_000
    producer, packed = Producer(limits), Packing("tracker", SETTINGS)
    sent = outputs(*[200] * 40)
    assert await published(producer, sent, packed) <= 5
    assert producer.values("out")[-40:] == [output.value for _, output in sent]
    assert not producer.letters()
    assert await published(producer, sent, packed) == 1, "the next ones are packed so at once"


async def test_a_large_message_is_a_dead_letter_in_its_place(limits: dict[str, int]) -> None:
    limits["out"] = 5_000
    producer = Producer(limits)
    sent = outputs(10, 20_000, 4_000, 30)
    await published(producer, sent, Packing("tracker", SETTINGS))
    assert [len(value or b"") for value in producer.values("out")][-3:] == [10, 4_000, 30]
    [letter] = producer.letters()
    assert (letter.error, letter.role, letter.topic) == (TOO_LARGE, "tracker", "out")
    assert letter.record.value == sent[1][1].value and not letter.is_cut
    told = letter.headers["message"]
    assert "message takes 20" in told and "max.message.bytes" in told
    assert ("at most 5000" in told) != ("does not tell" in told)


async def test_a_letter_that_is_too_large_itself_is_cut(limits: dict[str, int]) -> None:
    limits |= {"out": 5_000, DEAD_LETTERS.name: 5_000}
    producer = Producer(limits)
    await published(producer, outputs(20_000), Packing("tracker", SETTINGS))
    [letter] = producer.letters()
    assert letter.headers["cut"] == "1/20000"
    assert 1_000 < len(letter.record.value) < 5_000


async def test_where_no_letter_is_taken_it_says_what_to_do(limits: dict[str, int]) -> None:
    limits |= {"out": 100, DEAD_LETTERS.name: 100}
    with pytest.raises(
        BrokerError, match=r"dead\.letters takes no message of .*max\.message\.bytes"
    ):
        await published(Producer(limits), outputs(200), Packing("tracker", SETTINGS))


async def test_each_batch_in_flight_is_mended(limits: dict[str, int]) -> None:
    limits["out"] = 1_000
    producer, packed = Producer(limits), Packing("tracker", SETTINGS)
    several = [outputs(2_000), outputs(10)]
    for each in several:
        for future in (await packed.send(producer, each))[0]:
            await asyncio.wait([future])
    large, small = await packed.mend(several)
    assert [output.topic for _, output in large] == [DEAD_LETTERS.name]
    assert small == several[1]
