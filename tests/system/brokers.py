"""The broker that tests run on: the embedded one, or Apache Kafka itself (`--broker apache`)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.apache_kafka.artefacts import UnavailableError
from deploy.apache_kafka.broker import running
from stream.kafka.broker import connect_admin
from stream.local.embedded import embedded
from stream.processes.children import Child
from stream.settings import Settings

EMBEDDED, APACHE = "embedded", "apache"


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
    def own(self, folder: Path, port: int | None = None) -> Iterator[tuple[str, Child]]:
        """A broker that nobody else uses, to be stopped and killed: its address and process."""
        if self.kind == EMBEDDED:
            with embedded(folder, port) as (address, process):
                yield address, process
            return
        with _apache(folder, port) as (address, process):
            yield address, process

    @contextmanager
    def empty(self, folder: Path) -> Iterator[Settings]:
        """A broker without topics and groups: the settings of who works on it."""
        if self.kind == EMBEDDED:
            with embedded(folder) as (address, _):
                yield Settings(kafka=address)
            return
        if self._shared is None:
            self._shared, _ = self._stack.enter_context(_apache(folder))
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
def _apache(folder: Path, port: int | None = None) -> Iterator[tuple[str, Child]]:
    try:
        with running(folder, port=port) as cluster:
            process = cluster.brokers[0].process
            assert process is not None
            yield cluster.address, process
    except UnavailableError as error:
        pytest.skip(f"Apache Kafka: {error}")


def _in_a_thread(work: Coroutine[Any, Any, None]) -> None:
    """Runs it to its end, whether this thread has a loop that runs or not."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


async def _clear(settings: Settings) -> None:
    admin = await connect_admin(settings)
    try:
        topics = [name for name in await admin.list_topics() if not name.startswith("__")]
        if topics:
            await admin.delete_topics(topics)
    finally:
        await admin.close()
