"""Readers without a group whose topic is made anew while they read it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from stream.kafka.follow import Follower
from stream.kafka.reader import reader
from stream.kafka.watch import Watch
from tests.patience import PATIENCE, until
from tests.stream.edge.records import decision
from tests.system.conftest import Cluster
from tests.system.edge.replay import Edge
from tests.system.edge.traffic import EDGE
from tests.system.kafka.logs.test_replaced_logs import grown_old, make_anew
from tests.system.tracker_log import cluster_of
from topics.catalogue import (
    CACHE_DECISIONS,
    MODEL_CALIBRATION,
    POPULARITY_FORECASTS,
    SOCIAL_EVENTS,
    Topic,
)
from topics.records import CacheDecision

pytestmark = pytest.mark.system


@pytest.mark.both
async def test_a_reader_ends_whatever_it_is_at(cluster: Cluster) -> None:
    """Also while it lets go of a fetch that the broker holds back: there is nothing new."""
    for steps in range(4):
        consumer = reader(cluster.settings, auto_offset_reset="earliest")
        await consumer.start()
        consumer.assign([TopicPartition(SOCIAL_EVENTS.name, 0)])
        await consumer.getmany(timeout_ms=200)
        consumer.assign([])
        for _ in range(steps):
            await asyncio.sleep(0)
        ended, _ = await asyncio.wait([asyncio.create_task(consumer.stop())], timeout=PATIENCE)
        assert ended, f"it goes on for ever, told {steps} steps after it let go"


OLD = 30
LENGTHS = pytest.mark.parametrize("length", [10, 60], ids=["shorter", "longer"])


def values(name: str, count: int) -> list[bytes]:
    return [f"{name} {i}".encode() for i in range(count)]


def decisions(name: str, count: int) -> list[CacheDecision]:
    return [decision(f"/{name}/{i}", edge=EDGE) for i in range(count)]


async def publish(cluster: Cluster, topic: Topic, content: list[bytes]) -> None:
    # No key twice: what a compaction takes is another matter.
    await cluster.publish(topic, [(value.decode(), value) for value in content])


@LENGTHS
async def test_a_follower_reads_another_log_from_its_beginning(tmp_path: Path, length: int) -> None:
    async with cluster_of(tmp_path, partitions=1) as cluster:
        taken: list[bytes] = []

        def take(_: Topic, records: list[ConsumerRecord]) -> None:
            taken.extend(record.value for record in records)

        follower = Follower(cluster.settings, [POPULARITY_FORECASTS], take, past=3600.0)
        old, new = values("old", OLD), values("new", length)
        await publish(cluster, POPULARITY_FORECASTS, old)
        await follower.start()
        following = asyncio.create_task(follower.follow())
        try:
            await until(lambda: taken == old, "the old log")
            await grown_old()
            await make_anew(cluster, POPULARITY_FORECASTS)
            await publish(cluster, POPULARITY_FORECASTS, new)
            await until(lambda: taken == old + new, "all of the new log, once")
            await publish(cluster, POPULARITY_FORECASTS, [b"later"])
            await until(lambda: taken == [*old, *new, b"later"], "what comes behind it")
            assert follower.done == 1.0 and not following.done()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await follower.stop()


@LENGTHS
async def test_a_watch_gives_another_log_from_its_beginning(tmp_path: Path, length: int) -> None:
    async with cluster_of(tmp_path, partitions=1) as cluster:
        taken: list[bytes] = []
        old, new = values("old", OLD), values("new", length)
        await publish(cluster, MODEL_CALIBRATION, old)
        watch = await asyncio.to_thread(
            Watch, cluster.settings, MODEL_CALIBRATION, lambda records: taken.extend(
                record.value for record in records
            ),
        )  # fmt: skip
        assert taken == old
        watch.start()
        try:
            await grown_old()
            await make_anew(cluster, MODEL_CALIBRATION)
            await publish(cluster, MODEL_CALIBRATION, new)
            await until(lambda: taken == old + new, "all of the new log, once")
        finally:
            watch.stop()


@LENGTHS
async def test_an_edge_agent_obeys_nothing_of_a_log_that_is_no_more(
    tmp_path: Path, length: int
) -> None:
    async with cluster_of(tmp_path, partitions=1) as cluster:
        edge = Edge(cluster, tmp_path / "edge.sock")
        # The new log is of earlier windows than the old one, as when a trace is played again.
        await edge.tell(*decisions("old", OLD), number=9)
        agent = edge.start()
        await until(lambda: edge.status().get("epoch") == 9, "the old log")
        await grown_old()
        await make_anew(cluster, CACHE_DECISIONS)
        await edge.tell(*decisions("new", length), number=2)
        await until(lambda: edge.status().get("epoch") == 2, "the new log")
        assert edge.status().items() >= {"decisions": length, "obeyed": True}.items()
        told = agent.log.read_text()
        assert told.count("is another log than that which was read up to offset 31") == 1
