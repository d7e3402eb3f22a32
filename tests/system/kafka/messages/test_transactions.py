"""What a transaction wrote counts once it is committed; what was aborted never does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from stream.gateway.roles import Roles
from stream.kafka.past import END, reread_here
from stream.kafka.progress import Progress
from stream.kafka.reader import reader
from tests.system.conftest import Cluster
from tests.system.kafka.messages.test_batches import events, worked_off
from tests.system.tracker_log import cluster_of
from topics.catalogue import CASCADE_SNAPSHOTS, SOCIAL_EVENTS

pytestmark = pytest.mark.system

SOURCE = TopicPartition(SOCIAL_EVENTS.name, 0)


async def sent(producer: AIOKafkaProducer, values: Sequence[bytes]) -> None:
    for value in values:
        await producer.send_and_wait(SOCIAL_EVENTS.name, value, key=b"c", partition=0)


async def end_of(cluster: Cluster) -> int:
    async with reader(cluster.settings) as consumer:
        return int((await consumer.end_offsets([SOURCE]))[SOURCE])


async def counts(cluster: Cluster) -> list[int]:
    records = await cluster.read(CASCADE_SNAPSHOTS)
    return [CASCADE_SNAPSHOTS.codec.decode(r.value).observed_count for r in records]


@pytest.mark.both
async def test_what_was_aborted_does_not_count_and_markers_are_no_lag(tmp_path: Path) -> None:
    async with cluster_of(tmp_path, partitions=1) as cluster:
        cluster.start("tracker")
        async with AIOKafkaProducer(
            bootstrap_servers=cluster.settings.kafka, transactional_id="t"
        ) as producer:
            async with producer.transaction():
                await sent(producer, events(8))
            await producer.begin_transaction()
            await sent(producer, events(12))
            await producer.abort_transaction()
            end = await end_of(cluster)
            assert end == 22, "20 events and two markers"
            await worked_off(cluster, "tracker", SOCIAL_EVENTS, end)
            assert await counts(cluster) == []
            roles = Roles(cluster.settings)
            standings, _ = await roles.look()
            await roles.close()
            assert (standings["tracker"].lag, standings["tracker"].lag_seconds) == (0, 0.0)
            # An aborted one between committed ones, and one that stays open.
            async with producer.transaction():
                await sent(producer, events(12))
            await producer.begin_transaction()
            await sent(producer, events(20))
            async with AIOKafkaProducer(bootstrap_servers=cluster.settings.kafka) as other:
                await sent(other, events(20))
            end = await end_of(cluster)
            assert end == 35, "up to where the open one begins"
            await worked_off(cluster, "tracker", SOCIAL_EVENTS, end)
            assert await counts(cluster) == [10, 20]
            await producer.abort_transaction()
            end = await end_of(cluster)
            await worked_off(cluster, "tracker", SOCIAL_EVENTS, end)
            assert await counts(cluster) == [10, 20, 40]
        progress = Progress(cluster.settings, {"tracker": (SOCIAL_EVENTS.name,)})
        await progress.start()
        assert await progress.drained()
        await progress.stop()


async def test_a_worker_that_reads_the_past_again_reads_the_same(tmp_path: Path) -> None:
    async with cluster_of(tmp_path, partitions=1, checkpoint_interval=0) as cluster:
        tracker = cluster.start("tracker")
        async with AIOKafkaProducer(
            bootstrap_servers=cluster.settings.kafka, transactional_id="t"
        ) as producer:
            for count in (6, 7, 5):
                async with producer.transaction():
                    await sent(producer, events(count))
                await producer.begin_transaction()
                await sent(producer, events(30))
                await producer.abort_transaction()
        await worked_off(cluster, "tracker", SOCIAL_EVENTS, await end_of(cluster))
        assert await counts(cluster) == [10]
        cluster.stop(tracker)
        cluster.start("tracker")
        async with AIOKafkaProducer(bootstrap_servers=cluster.settings.kafka) as producer:
            await sent(producer, events(2))
        await worked_off(cluster, "tracker", SOCIAL_EVENTS, await end_of(cluster))
        assert await counts(cluster) == [10, 20]


async def test_a_reread_ends_where_all_is_aborted_or_open(tmp_path: Path) -> None:
    async with (
        cluster_of(tmp_path, partitions=1) as cluster,
        AIOKafkaProducer(
            bootstrap_servers=cluster.settings.kafka, transactional_id="t"
        ) as producer,
    ):
        async with producer.transaction():
            await sent(producer, events(3))
        await producer.begin_transaction()
        await sent(producer, events(5))
        await producer.abort_transaction()
        await producer.begin_transaction()
        await sent(producer, events(4))
        for start, expected in ((0, 3), (3, 0), (5, 0)):
            taken: list[int] = []
            count = await reread_here(
                cluster.settings, SOCIAL_EVENTS, 0, start, END,
                lambda records, taken=taken: taken.extend(r.offset for r in records),
            )  # fmt: skip
            assert count == len(taken) == expected
        await producer.abort_transaction()
