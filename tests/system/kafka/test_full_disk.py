"""A broker whose disk is full ends; roles and senders wait, and go on once there is room again.

The disk is a small file system of the test's own, in memory, which takes the right to mount one.
"""

from __future__ import annotations

import asyncio
import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from stream.kafka.broker import create_topics
from stream.settings import Settings
from stream.sources.messages import Message
from tests.patience import until
from tests.system.brokers import BROKERS
from tests.system.conftest import Cluster
from tests.system.tracker_log import by_id, simulated, snapshots_of, tracked, values
from topics.catalogue import CASCADE_SNAPSHOTS, SOCIAL_EVENTS

pytestmark = [pytest.mark.system, pytest.mark.apache]

HALF = 1_500
SIZE = "64m"
_BLOCK = bytes(1 << 20)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A folder that holds so much and no more."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"needs the right to mount a file system: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(file: Path) -> None:
    """Writes until nothing more goes onto the disk."""
    with file.open("wb", buffering=0) as sink:
        for block in (_BLOCK, _BLOCK[:1]):
            try:
                while sink.write(block):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC


async def sent(cluster: Cluster, log: list[Message]) -> None:
    """Sends events once each, in order, however long the broker is away."""
    producer = AIOKafkaProducer(bootstrap_servers=cluster.settings.kafka, enable_idempotence=True)
    async with producer:
        taken = [await producer.send(SOCIAL_EVENTS.name, m.value, key=m.key) for m in log]
        await asyncio.gather(*taken)


async def test_nothing_is_lost_of_it(tmp_path: Path) -> None:
    log = simulated(2 * HALF)
    disk = tmp_path / "broker" / "1"
    with small_disk(disk), BROKERS.own(tmp_path / "broker") as own:
        cluster = Cluster(Settings(kafka=own.address, partitions=1, data_dir=tmp_path), tmp_path)
        await create_topics(cluster.settings)
        [broker] = own.brokers
        try:
            tracker = cluster.start("tracker")
            await sent(cluster, log[:HALF])
            await tracked(cluster, HALF)
            fill(disk / "filler")
            rest = asyncio.create_task(sent(cluster, log[HALF:]))
            await until(lambda: not broker.is_running, "the broker to end of its full disk")
            assert not rest.done()
            (disk / "filler").unlink()
            broker.start()
            await asyncio.to_thread(broker.wait)
            await rest
            await tracked(cluster, 2 * HALF)
            assert tracker.exit_code is None, "it was to wait"
            expected = snapshots_of((message.value for message in log), least=20)
            assert by_id(await values(cluster, CASCADE_SNAPSHOTS)) == expected
        finally:
            cluster.close()
