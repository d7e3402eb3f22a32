"""Unread records that retention removes while a role is down: counted, told, and gone on behind.

As it comes to pass: segments are rolled and deleted by the broker itself. `test_replaced_logs.py`
has records removed on request, for a role that runs, stands still or is down.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream.doctor.checks import examine
from stream.kafka.broker import connect_admin, create_topics
from stream.kafka.reader import reader
from stream.settings import Settings
from tests.patience import until
from tests.system.brokers import BROKERS
from tests.system.conftest import Cluster
from tests.system.tracker_log import by_id, send, simulated, snapshots_of, tracked, values
from topics.catalogue import CASCADE_SNAPSHOTS, SOCIAL_EVENTS

pytestmark = [pytest.mark.system, pytest.mark.apache]

READ, EVENTS = 1_000, 4_000
QUICK = {
    "log.initial.task.delay.ms": "200", "log.retention.check.interval.ms": "200",
    "log.segment.delete.delay.ms": "0",
}  # fmt: skip
SHORT = {"retention.ms": "200", "segment.ms": "100"}


@asynccontextmanager
async def short_retention(settings: Settings) -> AsyncIterator[None]:
    """Events are kept for a moment only, but for those of the segment that is written to."""
    admin = await connect_admin(settings)
    try:
        for more in (SHORT, {}):
            kept = SOCIAL_EVENTS.configs() | more
            await admin.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, SOCIAL_EVENTS.name, kept)]
            )
            if more:
                yield
    finally:
        await admin.close()


async def first_of(settings: Settings) -> int:
    """The offset that the log of events begins at."""
    source = TopicPartition(SOCIAL_EVENTS.name, 0)
    async with reader(settings) as consumer:
        return int((await consumer.beginning_offsets([source]))[source])


async def test_what_retention_took_is_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    log = simulated(EVENTS)
    with BROKERS.own(tmp_path / "broker", more=QUICK) as own:
        settings = Settings(kafka=own.address, partitions=1, data_dir=tmp_path)
        cluster = Cluster(settings, tmp_path)
        try:
            await create_topics(settings)
            tracker = cluster.start("tracker")
            await send(cluster, log[:READ])
            await tracked(cluster, READ)
            cluster.stop(tracker)
            await send(cluster, log[READ : EVENTS // 2])
            at = EVENTS // 2

            async def some_is_gone() -> bool:
                nonlocal at
                await send(cluster, log[at : at + 20])
                at += 20
                return await first_of(settings) > READ

            async with short_retention(settings):
                await until(some_is_gone, "retention to take what was not read")
            await send(cluster, log[at:])
            tracker = cluster.start("tracker")
            await tracked(cluster, EVENTS)
            told = re.findall(r"records (\d+) to (\d+) are gone", tracker.log.read_text())
            [(begun, last)] = [tuple(map(int, one)) for one in told]
            assert begun == READ and READ <= last < EVENTS
            assert tracker.metrics()["tidecast_noticed_total"] == last + 1 - READ
            left = [*log[:READ], *log[last + 1 :]]
            expected = snapshots_of((message.value for message in left), least=10)
            assert by_id(await values(cluster, CASCADE_SNAPSHOTS)) == expected
            cluster.stop(tracker)
            found = "\n".join(one.what for one in await examine(settings))
            assert "removed before they were read" in found
        finally:
            cluster.close()
