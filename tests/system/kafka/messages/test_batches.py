"""Whatever is in a record batch, a role goes on, and what can be read is read."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.codec import zstd_encode
from aiokafka.errors import BrokerResponseError, NotLeaderForPartitionError, for_code
from aiokafka.protocol.produce import ProduceRequest

from stream.kafka.reader import reader
from stream.kafka.wire.batches import UNKNOWN_CODEC, UNREADABLE
from stream.letters.reading import Letter
from stream.settings import Settings
from tests.patience import until
from tests.stream.batches import batch, number, record, with_codec, with_payload
from tests.system.conftest import Cluster
from tests.system.roles.test_forecaster import QUICK, snapshot_values
from tests.system.tracker_log import cluster_of
from topics.catalogue import (
    CASCADE_SNAPSHOTS,
    DEAD_LETTERS,
    EDGE_REQUESTS,
    EDGE_WINDOWS,
    POPULARITY_FORECASTS,
    ROLE_NOTICES,
    SOCIAL_EVENTS,
    Topic,
)
from topics.records import SocialEvent

pytestmark = pytest.mark.system

NAMES = itertools.count()


def events(count: int, cascade: str = "c") -> list[bytes]:
    """The next events of a cascade, a millisecond apart, up to now."""
    start = time.time() - count / 1000
    return [
        SOCIAL_EVENTS.codec.encode(
            SocialEvent(cascade, f"e{next(NAMES)}", f"u{i}", start + i / 1000, "share")
        )
        for i in range(count)
    ]


async def offered(settings: Settings, topic: Topic, batches: Sequence[bytes]) -> list[str]:
    """Offers batches to partition 0 just as they are; the names of what the broker says to each."""
    client = AIOKafkaClient(bootstrap_servers=settings.kafka)
    await client.bootstrap()
    try:
        [broker] = client.cluster.brokers()
        answers = []
        for made in batches:
            request = ProduceRequest(
                transactional_id=None, required_acks=-1, timeout=10_000,
                topics=[(topic.name, [(0, made)])],
            )  # fmt: skip
            error: type[BrokerResponseError] = NotLeaderForPartitionError
            while error.invalid_metadata:  # it has not heard yet of a topic that is new
                [(_, [(_, code, *_)])] = (await client.send(broker.nodeId, request)).topics
                error = for_code(code)
            answers.append(error.__name__)
        return answers
    finally:
        await client.close()


async def produce(settings: Settings, topic: Topic, batches: Sequence[bytes]) -> int:
    """Has the broker store batches in partition 0 just as they are; gives its end then."""
    assert set(await offered(settings, topic, batches)) == {"NoError"}
    async with reader(settings) as consumer:
        source = TopicPartition(topic.name, 0)
        return int((await consumer.end_offsets([source]))[source])


async def worked_off(cluster: Cluster, role: str, topic: Topic, end: int) -> None:
    """Waits until a role has committed all of partition 0."""

    async def is_worked_off() -> bool:
        cluster.assert_alive()
        return (await cluster.committed(role, topic))[0] >= end

    await until(is_worked_off, f"the {role} to come to the end")


@pytest.mark.both
async def test_events_come_in_by_every_codec(tmp_path: Path) -> None:
    async with cluster_of(tmp_path, partitions=1) as cluster:
        cluster.start("tracker")
        for codec in ("gzip", "snappy", "lz4", "zstd"):
            async with AIOKafkaProducer(
                bootstrap_servers=cluster.settings.kafka, compression_type=codec
            ) as producer:
                for value in events(10, codec):
                    await producer.send(SOCIAL_EVENTS.name, value, key=codec.encode())
        snapshots = await cluster.read(CASCADE_SNAPSHOTS, lambda records: len(records) >= 4)
        assert {CASCADE_SNAPSHOTS.codec.decode(r.value).snapshot_id for r in snapshots} == {
            f"{codec}@n10" for codec in ("gzip", "snappy", "lz4", "zstd")
        }
        assert await cluster.read(DEAD_LETTERS) == []


def broken_ones() -> list[bytes]:
    """Batches of events, all but the last and the first with something wrong in them."""
    garbage = number(9) + b"\xff" * 9
    parts = [record(i, value) for i, value in enumerate(events(6))]
    parts[2] = garbage
    cut = [record(i, value) for i, value in enumerate(events(5))] + [number(1 << 20)]
    odd = record(0, events(1)[0], headers=[(b"\xff\xfe", b"\x00"), (b"redriven", None)])
    return [
        batch(events(4)),
        with_codec(batch(events(3)), 6),
        with_payload(batch([b""] * 6), b"".join(parts)),
        with_payload(batch([b""] * 10, codec=4), zstd_encode(b"".join(cut))),
        with_payload(batch([b""]), odd),
        with_payload(batch([b""] * 3, codec=4), zstd_encode(bytes(100 << 20))),
        batch([b"x" * (3 << 20)], codec=4, key=b"k" * 200_000),
        batch(events(5), codec=3),
    ]


@pytest.mark.embedded  # Apache Kafka takes no such batch: below
async def test_a_broken_batch_is_a_dead_letter_and_the_rest_is_unharmed(tmp_path: Path) -> None:
    """Ten of 20 events lie in broken batches, between records that cannot be read."""
    broken = broken_ones()
    async with cluster_of(tmp_path, partitions=1, checkpoint_interval=0) as cluster:
        tracker = cluster.start("tracker")
        end = await produce(cluster.settings, SOCIAL_EVENTS, broken)
        await worked_off(cluster, "tracker", SOCIAL_EVENTS, end)
        snapshots = await cluster.read(CASCADE_SNAPSHOTS)
        assert [CASCADE_SNAPSHOTS.codec.decode(r.value).observed_count for r in snapshots] == [
            10, 20
        ]  # fmt: skip
        letters = sorted(
            map(Letter, await cluster.read(DEAD_LETTERS)), key=lambda x: int(x.headers["offset"])
        )
        assert [(x.error, x.headers.get("first_offset"), x.headers["offset"]) for x in letters] == [
            (UNKNOWN_CODEC, "4", "6"),
            (UNREADABLE, "9", "9"),
            (UNREADABLE, "18", "22"),
            (UNREADABLE, "24", "26"),
            ("OversizedError", None, "27"),
        ]
        assert "offsets 4 to 6 of social.events/0 cannot be read" in letters[0].headers["message"]
        assert letters[0].record.value[12:] == broken[1][12:], "as it came, behind its offset"
        assert letters[-1].headers["cut"] == f"200000/{3 << 20}"
        assert len(letters[-1].record.value) == 800_000
        noticed = await cluster.read(ROLE_NOTICES, lambda records: len(records) >= 2)
        kinds = {n.kind: n.count for n in (ROLE_NOTICES.codec.decode(r.value) for r in noticed)}
        assert kinds["unread_codec"] == 3 and kinds["unreadable_batch"] >= 1
        cluster.stop(tracker)
        # Nor does it stop the next one, which reads all of it again in silence.
        cluster.start("tracker")
        end = await produce(cluster.settings, SOCIAL_EVENTS, [batch(events(20))])
        await worked_off(cluster, "tracker", SOCIAL_EVENTS, end)
        found = [
            CASCADE_SNAPSHOTS.codec.decode(r.value) for r in await cluster.read(CASCADE_SNAPSHOTS)
        ]
        assert [snapshot.observed_count for snapshot in found] == [10, 20, 40]
        assert len(await cluster.read(DEAD_LETTERS)) == 5


@pytest.mark.apache
async def test_a_broker_that_looks_into_batches_takes_what_can_be_read(tmp_path: Path) -> None:
    async with cluster_of(tmp_path, partitions=1) as cluster:
        cluster.start("tracker")
        answers = await offered(cluster.settings, SOCIAL_EVENTS, broken_ones())
        assert [position for position, said in enumerate(answers) if said == "NoError"] == [
            0, 4, 6, 7
        ]  # fmt: skip
        end = await produce(cluster.settings, SOCIAL_EVENTS, [batch(events(20))])
        await worked_off(cluster, "tracker", SOCIAL_EVENTS, end)
        [letter] = map(Letter, await cluster.read(DEAD_LETTERS))
        assert letter.error == "OversizedError"
        found = await cluster.read(CASCADE_SNAPSHOTS)
        assert CASCADE_SNAPSHOTS.codec.decode(found[-1].value).observed_count == 20


@pytest.mark.embedded
async def test_a_model_role_goes_on_likewise(tmp_path: Path) -> None:
    values = [value for _, value in snapshot_values(6)]
    odd = record(0, values[2], headers=[(b"\xff", b"1"), (b"event_timestamp", b"\xff")])
    broken = [
        batch(values[:1]),
        with_codec(batch([b"a", b"b"]), 5),
        batch(values[1:2], at_ms=(1 << 63) - 2),
        with_payload(batch([b""]), odd),
        with_payload(batch([b""] * 2, codec=1), b"no gzip"),
        batch(values[3:], codec=2),
    ]
    async with cluster_of(tmp_path, partitions=1, forecaster=QUICK) as cluster:
        cluster.start("forecaster")
        end = await produce(cluster.settings, CASCADE_SNAPSHOTS, broken)
        await worked_off(cluster, "forecaster", CASCADE_SNAPSHOTS, end)
        assert len(await cluster.read(POPULARITY_FORECASTS)) == 6
        letters = [Letter(r) for r in await cluster.read(DEAD_LETTERS)]
        assert [letter.error for letter in letters] == [UNKNOWN_CODEC, UNREADABLE]


@pytest.mark.embedded
@pytest.mark.parametrize("role, topic", [("historian", EDGE_REQUESTS), ("ranker", EDGE_WINDOWS)])
async def test_so_do_the_others(tmp_path: Path, role: str, topic: Topic) -> None:
    broken = [with_codec(batch([b"a", b"b"]), 5), with_payload(batch([b""] * 2), b"\xff" * 30)]
    async with cluster_of(tmp_path, partitions=1) as cluster:
        cluster.start(role)
        end = await produce(cluster.settings, topic, broken)
        await worked_off(cluster, role, topic, end)
        letters = [Letter(r) for r in await cluster.read(DEAD_LETTERS)]
        assert [letter.error for letter in letters] == [UNKNOWN_CODEC, UNREADABLE]
