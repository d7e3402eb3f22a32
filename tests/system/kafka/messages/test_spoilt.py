"""A batch that a disk has spoilt: a broker gives it as it lies there, and roles go on behind it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from stream.kafka.broker import create_topics
from stream.kafka.wire.batches import UNREADABLE
from stream.letters.reading import Letter
from stream.settings import Settings
from tests.system.brokers import BROKERS
from tests.system.conftest import Cluster
from tests.system.kafka.messages.test_batches import events, worked_off
from topics.catalogue import CASCADE_SNAPSHOTS, DEAD_LETTERS, ROLE_NOTICES, SOCIAL_EVENTS

pytestmark = [pytest.mark.system, pytest.mark.apache]

_HEAD = 12  # bytes of a batch before what its length counts: base offset and length


def spoil(segment: Path, number: int) -> None:
    """Alters the last byte of a batch in a log's file."""
    content = bytearray(segment.read_bytes())
    end = 0
    for _ in range(number + 1):
        end += _HEAD + int.from_bytes(content[end + 8 : end + _HEAD])
    content[end - 1] ^= 0xFF
    segment.write_bytes(content)


async def test_a_batch_that_a_disk_has_spoilt_is_a_dead_letter(tmp_path: Path) -> None:
    with BROKERS.own(tmp_path / "broker") as own:
        settings = Settings(kafka=own.address, partitions=1, data_dir=tmp_path)
        cluster = Cluster(settings, tmp_path)
        await create_topics(settings)
        async with AIOKafkaProducer(bootstrap_servers=own.address) as producer:
            for _ in range(3):
                group = producer.create_batch()
                for value in events(10):
                    group.append(key=b"c", value=value, timestamp=None)
                await (await producer.send_batch(group, SOCIAL_EVENTS.name, partition=0))
        [broker] = own.brokers
        await asyncio.to_thread(broker.stop)
        topic = tmp_path / "broker" / "1" / f"{SOCIAL_EVENTS.name}-0"
        spoil(topic / f"{0:020}.log", 1)
        broker.start()
        await asyncio.to_thread(broker.wait)
        try:
            tracker = cluster.start("tracker")
            await worked_off(cluster, "tracker", SOCIAL_EVENTS, 30)
            found = await cluster.read(CASCADE_SNAPSHOTS)
            assert [CASCADE_SNAPSHOTS.codec.decode(r.value).observed_count for r in found] == [
                10, 20
            ]  # fmt: skip
            [letter] = map(Letter, await cluster.read(DEAD_LETTERS))
            place = letter.headers["first_offset"], letter.headers["offset"]
            assert (letter.error, place) == (UNREADABLE, ("10", "19"))
            cluster.stop(tracker)
            [notice] = await cluster.read(ROLE_NOTICES)
            told = ROLE_NOTICES.codec.decode(notice.value)
            assert (told.kind, told.count) == ("unreadable_batch", 10)
        finally:
            cluster.close()
