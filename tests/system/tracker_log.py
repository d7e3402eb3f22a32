"""A simulated log of events, and a tracker's answers to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream.kafka.broker import connect_admin, create_topics
from stream.settings import Settings
from stream.sources.messages import Message
from stream.sources.simulate import Simulation
from stream.tracker.store import CascadeStore
from tests.patience import PATIENCE, until
from tests.system.brokers import BROKERS
from tests.system.conftest import Cluster
from topics.catalogue import CASCADE_SNAPSHOTS, EDGE_REQUESTS, SOCIAL_EVENTS, STAMPED_BY, Topic
from topics.records import CascadeSnapshot

EVENTS = 12_000
INPUT = (SOCIAL_EVENTS, EDGE_REQUESTS)
# A topic's settings so that messages keep the stamps they come with, however far ahead: what is
# more than an hour ahead Kafka would not take.
BY_SENDERS = {STAMPED_BY: "CreateTime", "message.timestamp.after.max.ms": str((1 << 63) - 1)}


def simulated(count: int = EVENTS) -> list[Message]:
    """The first events of simulated cascades; of some thousand that run their course."""
    simulation = Simulation(seed=3, cascades_per_second=2.0, requests_per_second=0)
    events: list[Message] = []
    for batch in simulation:
        events += batch
        if len(events) >= count:
            return events[:count]
    raise AssertionError("the simulation ended")


def snapshots_of(log: Iterable[bytes], least: int = 200) -> dict[str, bytes]:
    """Snapshots by id as the store alone makes them, without Kafka or processes."""
    store = CascadeStore(Settings())
    events = [SOCIAL_EVENTS.codec.decode(value) for value in log]
    fired = store.ingest(events, np.full(len(events), 4e9)).fired
    records = [one.record for one in fired if isinstance(one.record, CascadeSnapshot)]
    assert len(records) > least
    return {record.snapshot_id: CASCADE_SNAPSHOTS.codec.encode(record) for record in records}


@asynccontextmanager
async def cluster_of(folder: Path, **settings: Any) -> AsyncIterator[Cluster]:
    with BROKERS.empty(folder / "broker") as given:
        cluster = Cluster(given.having(data_dir=folder, **settings), folder)
        await create_topics(cluster.settings)
        try:
            yield cluster
        finally:
            cluster.close()


async def create_stamped_by_senders(settings: Settings) -> None:
    """Makes the input topics so that messages keep their senders' stamps, from the first one on."""
    made = [
        NewTopic(
            topic.name, settings.partitions, settings.replication,
            topic_configs=topic.configs() | BY_SENDERS,
        )
        for topic in INPUT
    ]  # fmt: skip
    admin = await connect_admin(settings)
    await admin.create_topics(made)
    await admin.close()


async def stamped_by_senders(settings: Settings, topics: Iterable[Topic] = INPUT) -> None:
    """Makes the broker keep the stamps that messages of these topics come with.

    A broker may come to it a moment later: what is sent at once may be stamped by it yet.
    """
    wanted = [
        ConfigResource(ConfigResourceType.TOPIC, topic.name, topic.configs() | BY_SENDERS)
        for topic in topics
    ]
    admin = await connect_admin(settings)
    await admin.alter_configs(wanted)
    await admin.close()


async def send(cluster: Cluster, messages: list[Message]) -> None:
    await cluster.publish(SOCIAL_EVENTS, [(m.key.decode(), m.value) for m in messages])


async def tracked(cluster: Cluster, total: int, patience: float = PATIENCE) -> None:
    """Returns once the tracker has committed the whole log; `patience` in seconds."""

    async def committed() -> bool:
        cluster.assert_alive()
        return sum((await cluster.committed("tracker", SOCIAL_EVENTS)).values()) >= total

    await until(committed, f"{total} records committed", patience)


async def values(cluster: Cluster, topic: Topic) -> list[bytes]:
    return [record.value for record in await cluster.read(topic)]


def by_id(snapshots: list[bytes]) -> dict[str, bytes]:
    """Snapshots by id; a repeat has to be the same bytes."""
    found: dict[str, bytes] = {}
    for value in snapshots:
        snapshot = CASCADE_SNAPSHOTS.codec.decode(value)
        assert found.setdefault(snapshot.snapshot_id, value) == value
    return found
