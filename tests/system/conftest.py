"""Real processes on a real broker: each test has a broker, its topics and its roles to itself."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

from stream.kafka.broker import create_topics_now, partitions
from stream.kafka.pacing import pace_fetches
from stream.processes.roles import RoleProcess
from stream.settings import Settings
from tests.patience import PATIENCE, until
from tests.system.brokers import APACHE, BROKERS, EMBEDDED
from topics.catalogue import Topic

if TYPE_CHECKING:
    from tests.system.crashes.stage import Worker


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
        self._mortals: list[Worker] = []

    def start(self, role: str, instance: str = "0") -> RoleProcess:
        """Starts a worker of a role as a process of its own."""
        folder = self.folder / instance
        folder.mkdir(exist_ok=True)
        settings = dataclasses.replace(self.settings, instance=instance)
        process = RoleProcess(role, settings, folder)
        self._roles.append(process)
        return process

    def start_mortal(self, role: str) -> Worker:
        """Starts a worker with traps: see `tests.system.crashes.mortal_role`."""
        from tests.system.crashes.stage import Worker  # which uses this module

        self._mortals.append(Worker(role, "0", self.settings, self.folder))
        return self._mortals[-1]

    def kill(self, role: RoleProcess) -> None:
        """Ends it as a power cut would."""
        role.wait(deadline=time.monotonic())

    def ended(self, role: RoleProcess) -> int:
        """Its exit code, once it has ended."""
        return role.wait(time.monotonic() + PATIENCE)

    def stop(self, *roles: RoleProcess) -> None:
        """Asks them to end, and sees that each does and ends well."""
        for role in roles:
            role.terminate()
        for role in roles:
            assert self.ended(role) == 0, role.tail()

    def close(self) -> None:
        """Leaves no process behind."""
        for role in self._roles:
            self.kill(role)
        for mortal in self._mortals:
            mortal.process.kill()
            mortal.process.wait()

    async def publish(
        self,
        topic: Topic,
        messages: Iterable[tuple[str, bytes | None]],
        sent_at: float | None = None,
    ) -> None:
        """Sends (key, value) pairs and waits until the broker has them.

        Args:
            sent_at: unix seconds that their timestamps say; None: now.
        """
        stamp = None if sent_at is None else round(1000 * sent_at)
        async with AIOKafkaProducer(bootstrap_servers=self.settings.kafka) as producer:
            sent = [
                await producer.send(topic.name, value, key=key.encode(), timestamp_ms=stamp)
                for key, value in messages
            ]
            await asyncio.gather(*sent)

    async def read(
        self, topic: Topic, enough: Callable[[list[ConsumerRecord]], bool] | None = None
    ) -> list[ConsumerRecord]:
        """All that the topic holds now, in order by partition; or as soon as that is `enough`.

        Raises:
            TimeoutError: it does not become enough.
        """
        places = await partitions(self.settings, [topic.name])
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka, auto_offset_reset="earliest"
        )
        pace_fetches(consumer)
        async with consumer:
            consumer.assign(places)
            records: list[ConsumerRecord] = []

            async def found() -> bool:
                ends = await consumer.end_offsets(places)
                while any([await consumer.position(tp) < ends[tp] for tp in places]):
                    for fetched in (await consumer.getmany(timeout_ms=200)).values():
                        records.extend(fetched)
                if enough is None or enough(records):
                    return True
                self.assert_alive()
                return False

            await until(
                found, lambda: f"enough of {topic.name}, which holds {len(records)} records"
            )
            return sorted(records, key=lambda r: (r.partition, r.offset))

    async def has_joined(self, *roles: RoleProcess) -> None:
        """Returns once they have been given partitions."""

        def joined() -> bool:
            self.assert_alive()
            return all(role.has_joined for role in roles)

        await until(joined, lambda: "\n".join(r.tail() for r in roles if not r.has_joined))

    def assert_alive(self) -> None:
        """A role that failed is the better news than what it did not publish."""
        for role in self._roles:
            if role.exit_code not in (None, 0, -signal.SIGKILL):
                raise AssertionError(f"{role.role} ended with {role.exit_code}:\n{role.tail()}")

    async def committed(self, role: str, topic: Topic) -> dict[int, int]:
        """The offset a role has committed on each partition; 0 where it has not."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka, group_id=self.settings.group(role)
        )
        places = await partitions(self.settings, [topic.name])
        async with consumer:
            return {tp.partition: await consumer.committed(tp) or 0 for tp in places}


async def died(worker: Worker) -> None:
    """Returns once a worker has come to the trap that was set for it, and died of it."""
    await until(lambda: worker.process.poll() is not None, worker.tail)
    assert worker.process.returncode == -signal.SIGKILL, worker.tail()


def pytest_configure(config: pytest.Config) -> None:
    """Says which broker the tests of this folder run on."""
    BROKERS.kind = config.getoption("--broker")


def pytest_unconfigure() -> None:
    """Ends the broker that they shared."""
    BROKERS.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is about the other broker than the one that is asked for.

    Where that is Apache Kafka, also what lies outside of this folder, and asks for none.
    """
    here = Path(__file__).parent

    def stays(item: pytest.Item) -> bool:
        if config.getoption("--broker") == APACHE:
            return here in item.path.parents and not item.get_closest_marker(EMBEDDED)
        return not item.get_closest_marker(APACHE)

    config.hook.pytest_deselected(items=[item for item in items if not stays(item)])
    items[:] = filter(stays, items)


@pytest.fixture
def bare_cluster(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A broker without topics."""
    with BROKERS.empty(tmp_path_factory.mktemp("broker")) as settings:
        cluster = Cluster(settings.having(data_dir=tmp_path / "data"), tmp_path)
        try:
            yield cluster
        finally:
            cluster.close()


@pytest.fixture
def cluster(bare_cluster: Cluster) -> Cluster:
    """A broker with the topics of the catalogue."""
    create_topics_now(bare_cluster.settings)
    return bare_cluster
