"""Offsets that an operator sets while a role is down, as kafka-consumer-groups.sh does.

    kafka-consumer-groups.sh --group tidecast.tracker --topic social.events --reset-offsets \\
        --to-offset N --execute

Kafka takes it once nobody is in the group any more. The offset comes without a mark, so nothing
says of which log it is; a role is to begin there, with the state of all before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.protocol.admin import DeleteGroupsRequest

from stream.kafka import groups
from stream.kafka.broker import connect_admin
from stream.processes.roles import RoleProcess
from stream.sources.messages import Message
from tests.patience import until
from tests.system.conftest import Cluster
from tests.system.tracker_log import (
    by_id,
    cluster_of,
    send,
    simulated,
    snapshots_of,
    tracked,
    values,
)
from topics.catalogue import CASCADE_SNAPSHOTS, SOCIAL_EVENTS

pytestmark = [pytest.mark.system, pytest.mark.apache]

EVENTS = 3_000
ALONE = {"partitions": 1, "session_timeout": 6}
SOURCE = TopicPartition(SOCIAL_EVENTS.name, 0)


@pytest.fixture(scope="module")
def log() -> list[Message]:
    return simulated(EVENTS)


def snapshots_in(log: Sequence[Message]) -> dict[str, bytes]:
    return snapshots_of((message.value for message in log), least=1)


async def left(cluster: Cluster, role: RoleProcess) -> None:
    """Stops a role, and returns once its group is empty: it is a static member for a while yet."""
    cluster.stop(role)
    admin = await connect_admin(cluster.settings)

    async def nobody_is_in_it() -> bool:
        return await groups.members(admin, cluster.settings.group(role.role)) == 0

    await until(nobody_is_in_it, "the group to be empty")
    await admin.close()


async def set_offset(cluster: Cluster, offset: int) -> None:
    """Sets the tracker's offset."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=cluster.settings.kafka,
        group_id=cluster.settings.group("tracker"),
        enable_auto_commit=False,
    )
    async with consumer:
        consumer.assign([SOURCE])
        await consumer.commit({SOURCE: offset})


async def forget(cluster: Cluster) -> None:
    """Has Kafka forget the tracker's group, as it does by itself of one long empty."""
    admin = await connect_admin(cluster.settings)
    group = cluster.settings.group("tracker")
    coordinator = await admin.find_coordinator(group)
    answer = await admin._client.send(coordinator, DeleteGroupsRequest([group]))
    assert answer.results == [(group, 0)]
    await admin.close()


@pytest.mark.parametrize("often", [0, "0.05"], ids=["no checkpoints", "checkpoints"])
async def test_backwards_all_from_there_on_is_said_again_to_the_byte(
    tmp_path: Path, log: list[Message], often: object
) -> None:
    async with cluster_of(tmp_path, **ALONE, checkpoint_interval=often) as cluster:
        tracker = cluster.start("tracker")
        await send(cluster, log)
        await tracked(cluster, EVENTS)
        first = await values(cluster, CASCADE_SNAPSHOTS)
        await left(cluster, tracker)
        await set_offset(cluster, 1_000)
        cluster.start("tracker")
        await tracked(cluster, EVENTS)
        again = (await values(cluster, CASCADE_SNAPSHOTS))[len(first) :]
        assert by_id([*first, *again]) == snapshots_in(log), "the same, where it is said twice"
        assert by_id(again).keys() == snapshots_in(log).keys() - snapshots_in(log[:1_000]).keys()


async def test_forwards_what_is_passed_over_counts_and_is_not_said(
    tmp_path: Path, log: list[Message]
) -> None:
    async with cluster_of(tmp_path, **ALONE) as cluster:
        tracker = cluster.start("tracker")
        await send(cluster, log[:1_000])
        await tracked(cluster, 1_000)
        await left(cluster, tracker)
        await send(cluster, log[1_000:])
        await set_offset(cluster, 2_000)
        cluster.start("tracker")
        await tracked(cluster, EVENTS)
        said = by_id(await values(cluster, CASCADE_SNAPSHOTS))
        passed_over = snapshots_in(log[:2_000]).keys() - snapshots_in(log[:1_000]).keys()
        assert said == {
            name: value for name, value in snapshots_in(log).items() if name not in passed_over
        }


async def test_forgotten_it_goes_on_from_its_checkpoint(tmp_path: Path, log: list[Message]) -> None:
    async with cluster_of(tmp_path, **ALONE) as cluster:
        tracker = cluster.start("tracker")
        await send(cluster, log[:2_000])
        await tracked(cluster, 2_000)
        await left(cluster, tracker)  # with a checkpoint
        before = await values(cluster, CASCADE_SNAPSHOTS)
        await forget(cluster)
        await send(cluster, log[2_000:])
        tracker = cluster.start("tracker")
        await tracked(cluster, EVENTS)
        after = (await values(cluster, CASCADE_SNAPSHOTS))[len(before) :]
        assert not by_id(before).keys() & by_id(after).keys()
        assert by_id([*before, *after]) == snapshots_in(log)
        assert tracker.metrics().get("tidecast_noticed_total", 0) == 0
