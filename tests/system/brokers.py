"""The broker that tests run on: the embedded one, or Apache Kafka itself (`--broker apache`)."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from deploy.apache_kafka.artefacts import UnavailableError
from deploy.apache_kafka.broker import running
from stream.kafka.broker import connect_admin
from stream.local.embedded import embedded
from stream.processes.children import Child
from stream.settings import Settings
from tests.patience import until

EMBEDDED, APACHE = "embedded", "apache"


class Broker(Protocol):
    """One broker of a test's own."""

    @property
    def address(self) -> str:
        """Where clients find it."""

    @property
    def process(self) -> Child | None:
        """It."""

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""

    def stop(self) -> None:
        """Ends it in order; by force if that takes longer than a container is given."""

    def start(self) -> None:
        """Starts it again, with what it had on disk."""

    def wait(self) -> None:
        """Returns once it answers."""


@dataclass(frozen=True)
class _Embedded:
    address: str
    process: Child

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def start(self) -> None:
        raise NotImplementedError("the embedded broker keeps what it has in memory")

    def wait(self) -> None:
        raise NotImplementedError("the embedded broker is not started again")


@dataclass(frozen=True)
class Own:
    """Brokers that nobody else uses.

    Attributes:
        address: where clients begin.
        brokers: each of them.
    """

    address: str
    brokers: Sequence[Broker]


class Brokers:
    """Gives brokers to tests.

    Apache Kafka takes seconds to start, so tests that leave their broker alone share one, which is
    emptied in between.

    Attributes:
        kind: which broker, `EMBEDDED` or `APACHE`.
    """

    def __init__(self) -> None:
        self.kind = EMBEDDED
        self._stack = ExitStack()
        self._shared: str | None = None
        self._number = itertools.count()

    @contextmanager
    def own(
        self,
        folder: Path,
        port: int | None = None,
        count: int = 1,
        more: Mapping[str, str] | None = None,
    ) -> Iterator[Own]:
        """Brokers to be stopped and killed: one, or a cluster of Apache Kafka.

        Args:
            more: properties of theirs.
        """
        if self.kind == EMBEDDED:
            assert count == 1 and not more, "the embedded broker makes no cluster, and has none"
            with embedded(folder, port) as (address, process):
                yield Own(address, [_Embedded(address, process)])
            return
        with _apache(folder, port, count, more) as own:
            yield own

    @contextmanager
    def empty(self, folder: Path) -> Iterator[Settings]:
        """A broker without topics and groups: the settings of who works on it."""
        if self.kind == EMBEDDED:
            with embedded(folder) as (address, _):
                yield Settings(kafka=address)
            return
        if self._shared is None:
            self._shared = self._stack.enter_context(_apache(folder)).address
        # Groups of their own: members that a test killed are still counted in theirs for a while.
        settings = Settings(kafka=self._shared, group_prefix=f"test-{next(self._number)}")
        try:
            yield settings
        finally:
            _in_a_thread(_clear(settings))

    def close(self) -> None:
        """Ends what tests shared."""
        self._stack.close()


BROKERS = Brokers()


@contextmanager
def _apache(
    folder: Path,
    port: int | None = None,
    count: int = 1,
    more: Mapping[str, str] | None = None,
) -> Iterator[Own]:
    try:
        with running(folder, count, port=port, more=more) as cluster:
            yield Own(cluster.address, cluster.brokers)
    except UnavailableError as error:
        pytest.skip(f"Apache Kafka: {error}")


def _in_a_thread(work: Coroutine[Any, Any, None]) -> None:
    """Runs it to its end, whether this thread has a loop that runs or not."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


async def _clear(settings: Settings) -> None:
    """Deletes all topics, and returns once the broker names none: it hears of it a moment later."""
    admin = await connect_admin(settings)

    async def left() -> list[str]:
        return [name for name in await admin.list_topics() if not name.startswith("__")]

    async def none_are_left() -> bool:
        return not await left()

    try:
        if topics := await left():
            await admin.delete_topics(topics)
            await until(none_are_left, "the topics to be gone")
    finally:
        await admin.close()
