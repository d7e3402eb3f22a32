"""Where a model role's consumer goes on after a rebalance."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import CollectorRegistry

from stream.kafka.marks import Point
from stream.kafka.resuming import resume
from stream.telemetry.notices import Notices
from tests.system.conftest import Cluster
from topics.catalogue import EDGE_WINDOWS

pytestmark = pytest.mark.system


async def test_what_was_fetched_and_not_committed_is_read_again_from_the_first_record_on(
    cluster: Cluster,
) -> None:
    await cluster.publish(EDGE_WINDOWS, [("one edge", str(i).encode()) for i in range(4)])
    [number] = {record.partition for record in await cluster.read(EDGE_WINDOWS)}
    source = TopicPartition(EDGE_WINDOWS.name, number)
    notices = Notices("a-role", "0", CollectorRegistry())
    consumer = AIOKafkaConsumer(
        bootstrap_servers=cluster.settings.kafka, group_id="a-role", enable_auto_commit=False,
        auto_offset_reset="earliest",
    )  # fmt: skip
    async with consumer:
        consumer.assign([source])
        assert [(await consumer.getone()).value for _ in range(3)] == [b"0", b"1", b"2"]
        assert await resume(consumer, cluster.settings, notices, {}) == {source: Point(0)}
        assert (await consumer.getone()).value == b"0"
        await consumer.commit({source: 0})
        assert await resume(consumer, cluster.settings, notices, {}) == {source: Point(0)}
        assert (await consumer.getone()).value == b"0"
        await consumer.commit({source: 2})
        assert await resume(consumer, cluster.settings, notices, {}) == {source: Point(2)}
        assert (await consumer.getone()).value == b"2"
