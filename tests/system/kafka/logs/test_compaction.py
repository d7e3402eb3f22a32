"""Compaction that comes as soon as it can: who reads the past comes to the state of who followed.

    followed from the first record on ─┐
                                       ├─ the same
    begun when most records are gone  ─┘

And who followed is not told that the log is another one, though the record that it knew it by is
gone.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream.kafka.broker import connect_admin, create_topics
from stream.kafka.follow import Follower
from stream.kafka.watch import Watch
from stream.settings import Settings
from tests.patience import until
from tests.stream.edge.records import decision
from tests.system.brokers import BROKERS
from tests.system.conftest import Cluster
from tests.system.edge.replay import Edge
from tests.system.edge.traffic import EDGE
from topics.catalogue import CACHE_DECISIONS, CATALOGUE, MODEL_CALIBRATION, MODEL_UPDATES, Topic

pytestmark = [pytest.mark.system, pytest.mark.apache]

COMPACTED = [topic for topic in CATALOGUE.values() if "compact" in topic.cleanup]
QUICK = {
    "segment.ms": "50", "min.cleanable.dirty.ratio": "0.001", "min.compaction.lag.ms": "0",
    "delete.retention.ms": "0",
}  # fmt: skip
ROUNDS, KEYS = 6, 20


@asynccontextmanager
async def compacting(folder: Path) -> AsyncIterator[Cluster]:
    """A broker that compacts as soon as there is anything to be taken away."""
    with BROKERS.own(folder / "broker", more={"log.cleaner.backoff.ms": "100"}) as own:
        cluster = Cluster(Settings(kafka=own.address, partitions=1, data_dir=folder), folder)
        await create_topics(cluster.settings)
        admin = await connect_admin(cluster.settings)
        await admin.alter_configs(
            [
                ConfigResource(ConfigResourceType.TOPIC, topic.name, topic.configs() | QUICK)
                for topic in COMPACTED
            ]
        )
        await admin.close()
        try:
            yield cluster
        finally:
            cluster.close()


async def compacted(cluster: Cluster, topic: Topic, sent: int) -> None:
    """Returns once most of what was sent to a topic is gone."""

    async def most_is_gone() -> bool:
        # What was written last is left alone until more is.
        await cluster.publish(topic, [('["later"]', b"later")])
        return len(await cluster.read(topic)) < sent / 2

    await until(most_is_gone, f"{topic.name} to be compacted")


def no_watches_are_left() -> bool:
    return not [one for one in threading.enumerate() if one.name.startswith("watch-")]


class State:
    """The latest of each key, as a follower hears it."""

    def __init__(self, settings: Settings, topics: Sequence[Topic]) -> None:
        self.latest: dict[str, dict[bytes, bytes]] = defaultdict(dict)
        self._follower = Follower(settings, topics, self._take, past=3600.0)

    def _take(self, topic: Topic, records: Sequence[ConsumerRecord]) -> None:
        for record in records:
            self.latest[topic.name].pop(record.key, None)
            if record.value is not None:
                self.latest[topic.name][record.key] = record.value

    async def __aenter__(self) -> State:
        await self._follower.start()
        self._following = asyncio.create_task(self._follower.follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)
        await self._follower.stop()

    async def caught_up(self) -> dict[str, dict[bytes, bytes]]:
        """All that is there by now."""
        await until(self._follower.caught_up, "the follower")
        return {name: dict(latest) for name, latest in self.latest.items()}


async def test_followers_and_watches(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    topics = [topic for topic in COMPACTED if topic is not CACHE_DECISIONS]
    async with compacting(tmp_path) as cluster, State(cluster.settings, topics) as followed:
        heard: list[bytes] = []
        watches = [
            await asyncio.to_thread(
                Watch, cluster.settings, topic, lambda records: heard.extend(r.key for r in records)
            )
            for topic in (MODEL_UPDATES, MODEL_CALIBRATION)
        ]
        for watch in watches:
            watch.start()
        for number in range(ROUNDS):
            for topic in topics:
                values: list[tuple[str, bytes | None]] = [
                    (f"[{key}]", None if number and key == number else b"%d %d" % (number, key))
                    for key in range(KEYS)
                ]
                await cluster.publish(topic, values)
        for topic in topics:
            await compacted(cluster, topic, ROUNDS * KEYS)
        async with State(cluster.settings, topics) as begun:
            there = await followed.caught_up()
            assert await begun.caught_up() == there
            assert {len(latest) for latest in there.values()} == {KEYS}, "one is gone, one is later"
        for topic in (MODEL_UPDATES, MODEL_CALIBRATION):
            past: dict[bytes, bytes | None] = {}
            await asyncio.to_thread(
                Watch,
                cluster.settings,
                topic,
                lambda records, past=past: past.update({r.key: r.value for r in records}),
            )
            assert {key: value for key, value in past.items() if value} == there[topic.name]
            await cluster.publish(topic, [('["last"]', b"last")])
        await until(lambda: heard.count(b'["last"]') == 2, "the watches to go on")
        for watch in watches:
            watch.stop()
        await until(no_watches_are_left, "the watches to end, before the broker does")
        assert "another log" not in caplog.text


async def test_an_edge_agent(tmp_path: Path) -> None:
    async with compacting(tmp_path) as cluster:
        edge = Edge(cluster, tmp_path / "edge.sock")
        agent = edge.start()
        for number in range(ROUNDS):
            gone = [f"/{key}" for key in range(number)]
            kept = [decision(f"/{key}", edge=EDGE) for key in range(number, KEYS)]
            await edge.tell(*gone, *kept)
        await until(lambda: edge.status().get("epoch") == ROUNDS, "the agent to hear of all")
        await compacted(cluster, CACHE_DECISIONS, ROUNDS * (KEYS + 1))
        other = Cluster(cluster.settings, tmp_path / "other")
        other.folder.mkdir()
        later = Edge(other, tmp_path / "later.sock")
        try:
            later.start()
            await until(lambda: later.status().get("complete"), "the later one to have read all")
            assert later.status()["decisions"] == edge.status()["decisions"] == KEYS - ROUNDS + 1
            await edge.tell(decision("/new", edge=EDGE))
            for one in (edge, later):
                await until(
                    lambda one=one: one.status().get("epoch") == ROUNDS + 1, "both to go on"
                )
            assert "another log" not in agent.log.read_text()
        finally:
            other.close()
