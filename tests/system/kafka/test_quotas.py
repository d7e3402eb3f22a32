"""Brokers that throttle who reads and who writes: roles are slower, and lose nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest

from stream.settings import Settings
from tests.stream.batches import batch
from tests.system.kafka.programs import run
from tests.system.tracker_log import (
    by_id,
    cluster_of,
    send,
    simulated,
    snapshots_of,
    tracked,
    values,
)
from topics.catalogue import CASCADE_SNAPSHOTS, ROLE_NOTICES

pytestmark = [pytest.mark.system, pytest.mark.apache]

EVENTS = 4_000  # some 800 kB
RATE = 50_000  # bytes a second, of the last ten seconds: what is more than 500 kB has to wait


def alter(settings: Settings, *told: str) -> None:
    """Alters the quotas of all clients, as kafka-configs.sh does."""
    everybody = ["--entity-type", "clients", "--entity-default"]
    brokers = ["--bootstrap-server", settings.kafka]
    run("kafka.admin.ConfigCommand", *brokers, "--alter", *told, *everybody)


@asynccontextmanager
async def throttled(settings: Settings) -> AsyncIterator[None]:
    """Each client may read and write so many bytes a second."""
    alter(settings, "--add-config", f"producer_byte_rate={RATE},consumer_byte_rate={RATE}")
    try:
        yield
    finally:
        alter(settings, "--delete-config", "producer_byte_rate,consumer_byte_rate")


async def throttle_ms(settings: Settings) -> int:
    """For how long the broker throttles who writes more than that at once."""
    client = AIOKafkaClient(bootstrap_servers=settings.kafka)
    await client.bootstrap()
    try:
        [broker] = client.cluster.brokers()
        request = ProduceRequest(
            transactional_id=None, required_acks=-1, timeout=10_000,
            topics=[(ROLE_NOTICES.name, [(0, batch([b"x" * 15 * RATE]))])],
        )  # fmt: skip
        return int((await client.send(broker.nodeId, request)).throttle_time_ms)
    finally:
        await client.close()


async def test_throttled_roles_say_the_same(tmp_path: Path) -> None:
    log = simulated(EVENTS)
    async with cluster_of(tmp_path, partitions=2) as cluster, throttled(cluster.settings):
        assert await throttle_ms(cluster.settings) > 0
        await send(cluster, log)
        tracker = cluster.start("tracker")
        await tracked(cluster, EVENTS)
        cluster.stop(tracker)
        expected = snapshots_of((message.value for message in log), least=50)
        assert by_id(await values(cluster, CASCADE_SNAPSHOTS)) == expected
