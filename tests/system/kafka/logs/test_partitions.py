"""Partitions that an operator adds while roles run: what is handled, and what is refused.

social.events      handled: the new partition is read from its beginning and answered; a
                   cascade that is in two partitions counts in each, and `doctor` names it
what the scorer    refused: it joins by partition, so it ends and does not start until all that
joins              it reads have as many
"""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewPartitions

from stream.doctor.checks import examine
from stream.kafka.broker import connect_admin
from tests.patience import until
from tests.system.conftest import Cluster
from tests.system.kafka.messages.test_batches import events
from tests.system.tracker_log import cluster_of
from topics.catalogue import CASCADE_OUTCOMES, CASCADE_SNAPSHOTS, SOCIAL_EVENTS, Topic

pytestmark = [pytest.mark.system, pytest.mark.apache]


async def add_partition(cluster: Cluster, topic: Topic) -> None:
    admin = await connect_admin(cluster.settings)
    await admin.create_partitions({topic.name: NewPartitions(total_count=2)})
    await admin.close()


async def send_to(cluster: Cluster, partition: int, values: list[bytes], key: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=cluster.settings.kafka) as producer:
        for value in values:
            await producer.send_and_wait(SOCIAL_EVENTS.name, value, key=key, partition=partition)


async def test_events_in_a_new_partition_are_read_and_answered(tmp_path: Path) -> None:
    async with cluster_of(tmp_path, partitions=1) as cluster:
        tracker = cluster.start("tracker")
        first, second, both = events(10, "first"), events(10, "second"), events(20, "both")
        await send_to(cluster, 0, [*first, *both[:10]], b"k")
        await cluster.read(CASCADE_SNAPSHOTS, lambda records: len(records) == 2)
        await add_partition(cluster, SOCIAL_EVENTS)
        await send_to(cluster, 1, [*second, *both[10:]], b"k")
        found = await cluster.read(CASCADE_SNAPSHOTS, lambda records: len(records) == 4)
        snapshots = [CASCADE_SNAPSHOTS.codec.decode(record.value) for record in found]
        assert sorted(one.snapshot_id for one in snapshots) == [
            "both@n10", "both@n10", "first@n10", "second@n10"
        ]  # fmt: skip
        assert tracker.metrics()["tidecast_tracker_partitions"] == 2
        told = "\n".join(one.what for one in await examine(cluster.settings))
        assert "social.events: has 2 partitions; the setting says 1" in told
        assert "those of 1 cascade_id lie in several partitions ('both' in 0, 1)" in told


async def test_a_scorer_whose_topics_have_different_numbers_ends_and_says_so(
    tmp_path: Path,
) -> None:
    async with cluster_of(tmp_path, partitions=1) as cluster:
        scorer = cluster.start("scorer")
        await cluster.has_joined(scorer)
        await add_partition(cluster, CASCADE_OUTCOMES)
        await until(lambda: scorer.exit_code is not None, "the scorer to end")
        assert scorer.exit_code == 1
        again = cluster.start("scorer", "1")
        await until(lambda: again.exit_code is not None, "the scorer to refuse")
        assert "the scorer joins by partition and needs as many of each" in again.log.read_text()
