"""Real processes on a real broker: each test has a broker, its topics and its roles to itself."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from stream.broker import create_topics_now, embedded
from stream.pacing import pace_fetches
from stream.processes import RoleProcess
from stream.settings import Settings
from topics.catalogue import Topic

PATIENCE = 60.0


class Cluster:
    """A broker with the topics of the catalogue, and what a test does with them.

    Attributes:
        settings: those of the roles.
        folder: where they keep their data and logs.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self._roles: list[RoleProcess] = []

    def start(self, role: str, instance: str = "0") -> RoleProcess:
        """Starts a worker of a role as a process of its own."""
        folder = self.folder / instance
        folder.mkdir(exist_ok=True)
        settings = dataclasses.replace(self.settings, instance=instance)
        process = RoleProcess(role, settings, folder)
        self._roles.append(process)
        return process

    def kill(self, role: RoleProcess) -> None:
        """Ends it as a power cut would."""
        role.wait(deadline=time.monotonic())

    def close(self) -> None:
        """Leaves no process behind."""
        for role in self._roles:
            self.kill(role)

    async def publish(self, topic: Topic, messages: Iterable[tuple[str, bytes | None]]) -> None:
        """Sends (key, value) pairs and waits until the broker has them."""
        async with AIOKafkaProducer(bootstrap_servers=self.settings.kafka) as producer:
            sent = [
                await producer.send(topic.name, value, key=key.encode()) for key, value in messages
            ]
            await asyncio.gather(*sent)

    async def read(
        self,
        topic: Topic,
        enough: Callable[[list[ConsumerRecord]], bool] | None = None,
        patience: float = PATIENCE,
    ) -> list[ConsumerRecord]:
        """All that the topic holds now, in order by partition; or as soon as that is `enough`.

        Raises:
            TimeoutError: it was not enough within `patience` seconds.
        """
        deadline = time.monotonic() + patience
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka, auto_offset_reset="earliest"
        )
        pace_fetches(consumer)
        async with consumer:
            partitions = await self._partitions(consumer, topic)
            consumer.assign(partitions)
            records: list[ConsumerRecord] = []
            while True:
                ends = await consumer.end_offsets(partitions)
                while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
                    for fetched in (await consumer.getmany(timeout_ms=200)).values():
                        records += fetched
                if enough is None or enough(records):
                    return sorted(records, key=lambda r: (r.partition, r.offset))
                self._assert_alive()
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"{topic.name} held {len(records)} records after {patience} seconds, "
                        f"and that was not enough"
                    )
                await asyncio.sleep(0.02)

    def _assert_alive(self) -> None:
        """A role that failed is the better news than what it did not publish."""
        for role in self._roles:
            if role.exit_code not in (None, 0, -signal.SIGKILL):
                raise AssertionError(f"{role.role} ended with {role.exit_code}:\n{role.tail()}")

    async def committed(self, role: str, topic: Topic) -> dict[int, int]:
        """The offset a role has committed on each partition; 0 where it has not."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka, group_id=self.settings.group(role)
        )
        async with consumer:
            partitions = await self._partitions(consumer, topic)
            return {tp.partition: await consumer.committed(tp) or 0 for tp in partitions}

    async def _partitions(self, consumer: AIOKafkaConsumer, topic: Topic) -> list[TopicPartition]:
        await consumer.topics()
        numbers = consumer.partitions_for_topic(topic.name)
        assert numbers, f"{topic.name} was not created"
        return [TopicPartition(topic.name, number) for number in sorted(numbers)]


@pytest.fixture
def bare_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A broker without topics."""
    with embedded(tmp_path / "broker") as (address, _):
        cluster = Cluster(Settings(kafka=address, data_dir=tmp_path / "data"), tmp_path)
        try:
            yield cluster
        finally:
            cluster.close()


@pytest.fixture
def cluster(bare_cluster: Cluster) -> Cluster:
    """A broker with the topics of the catalogue."""
    create_topics_now(bare_cluster.settings)
    return bare_cluster
