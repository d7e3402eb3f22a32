"""Groups of the `classic` protocol, which aiokafka speaks, beside one of KIP-848's `consumer`."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream.kafka import groups
from stream.kafka.broker import connect_admin
from tests.system.conftest import Cluster
from tests.system.kafka.programs import run
from tests.system.tracker_log import cluster_of, send, simulated, tracked
from topics.catalogue import SOCIAL_EVENTS

pytestmark = [pytest.mark.system, pytest.mark.apache]

EVENTS = 200
PROTOCOLS = "group.coordinator.rebalance.protocols"


async def protocols(cluster: Cluster) -> str:
    """Those that the broker speaks."""
    admin = await connect_admin(cluster.settings)
    [node] = [str(broker.nodeId) for broker in admin._client.cluster.brokers()]
    asked = ConfigResource(ConfigResourceType.BROKER, node, {PROTOCOLS: None})
    [answer] = await admin.describe_configs([asked])
    await admin.close()
    [(*_, [(_, value, *_)])] = answer.resources
    return str(value)


async def members(cluster: Cluster, group: str) -> int:
    """How many are in a group, by the question that `classic` ones answer."""
    admin = await connect_admin(cluster.settings)
    try:
        return await groups.members(admin, group)
    finally:
        await admin.close()


def read_by_the_other(cluster: Cluster, folder: Path, group: str) -> list[str]:
    """All events, as a Java client reads them whose group is of the protocol `consumer`."""
    told = folder / "consumer.properties"
    told.write_text("group.protocol=consumer\nauto.offset.reset=earliest\n")
    told_by = run(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        "--bootstrap-server", cluster.settings.kafka, "--command-config", str(told),
        "--topic", SOCIAL_EVENTS.name, "--group", group, "--max-messages", str(EVENTS),
    )  # fmt: skip
    return told_by.splitlines()


async def test_roles_are_in_classic_groups_beside_others(tmp_path: Path) -> None:
    async with cluster_of(tmp_path, partitions=2) as cluster:
        assert {"classic", "consumer"} <= set((await protocols(cluster)).split(","))
        tracker = cluster.start("tracker")
        await cluster.has_joined(tracker)
        assert await members(cluster, cluster.settings.group("tracker")) == 1
        log = simulated(EVENTS)
        await send(cluster, log)
        read = read_by_the_other(cluster, tmp_path, "another")
        assert sorted(read) == sorted(message.value.decode() for message in log)
        await tracked(cluster, EVENTS)
        assert await members(cluster, cluster.settings.group("tracker")) == 1
