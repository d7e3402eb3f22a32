"""What roles notice, from the producer that causes it to whom it is told."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord

from stream.doctor.input import noticed
from tests.patience import PATIENCE, until
from tests.system.conftest import Cluster
from tests.system.environment import environment
from topics.catalogue import CASCADE_SNAPSHOTS, EDGE_REQUESTS, ROLE_NOTICES, SOCIAL_EVENTS
from topics.heartbeat import KEY
from topics.records import EdgeRequest, RoleNotice, SocialEvent

pytestmark = pytest.mark.system


async def notices(cluster: Cluster, role: str) -> dict[tuple[str, int], RoleNotice]:
    """The latest notice of a role by kind and partition, once all four partitions have one."""

    def decoded(records: list[ConsumerRecord]) -> dict[tuple[str, int], RoleNotice]:
        found = [ROLE_NOTICES.codec.decode(record.value) for record in records]
        return {(notice.kind, notice.partition): notice for notice in found if notice.role == role}

    return decoded(await cluster.read(ROLE_NOTICES, lambda records: len(decoded(records)) >= 4))


async def test_a_cascade_without_keys_is_noticed_and_told_everywhere(cluster: Cluster) -> None:
    tracker = cluster.start("tracker")
    now = time.time()
    async with AIOKafkaProducer(bootstrap_servers=cluster.settings.kafka) as producer:
        for number in range(80):
            event = SocialEvent("nk", f"nk:{number}", f"u{number}", now - 100 + number, "share")
            value = SOCIAL_EVENTS.codec.encode(event)
            await producer.send(SOCIAL_EVENTS.name, value, partition=number % 4)
            await producer.send(SOCIAL_EVENTS.name, None, KEY, number % 4)
        await producer.flush()
    await cluster.read(CASCADE_SNAPSHOTS, lambda records: sum(bool(r.value) for r in records) == 8)
    await asyncio.to_thread(cluster.stop, tracker)
    found = await notices(cluster, "tracker")
    assert {place: notice.count for place, notice in found.items()} == {
        ("no_key", partition): 20 for partition in range(4)
    }, "heartbeats have a key of their own"
    assert {notice.topic for notice in found.values()} == {SOCIAL_EVENTS.name}
    [(told, to_do)] = await noticed(cluster.settings)
    assert "messages without a key: social.events, partitions 0, 1, 2, 3; 80 so far" in told
    assert "contradict each other" in told
    assert "cascade_id for events" in to_do


async def test_requests_under_their_objects_are_noticed(cluster: Cluster) -> None:
    historian = cluster.start("historian")
    now = time.time()
    async with AIOKafkaProducer(bootstrap_servers=cluster.settings.kafka) as producer:
        for number in range(8):
            value = EDGE_REQUESTS.codec.encode(EdgeRequest("lyon", f"o{number}", now))
            key = f"o{number}".encode()
            await producer.send(EDGE_REQUESTS.name, value, key, number % 4)
        await producer.flush()
    found = await notices(cluster, "historian")
    assert set(found) == {("foreign_key", partition) for partition in range(4)}
    assert "where 'lyon' is expected: it is the object_id" in found["foreign_key", 0].message
    await asyncio.to_thread(cluster.stop, historian)


async def test_a_model_role_publishes_what_its_thread_notices_and_the_last_at_the_end(
    cluster: Cluster, tmp_path: Path
) -> None:
    settings = cluster.settings.having(data_dir=tmp_path / "noticing")
    role = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("noticing_role.py")),
        env=environment(settings),
    )  # fmt: skip
    try:
        await cluster.publish(CASCADE_SNAPSHOTS, [("c", b"1")])
        [first] = await cluster.read(ROLE_NOTICES, lambda records: len(records) >= 1)
        assert first.key.startswith(b'["forecaster","records_lost","cascade.snapshots",')
        # No time to publish these but the end.
        await cluster.publish(CASCADE_SNAPSHOTS, [("c", b"2"), ("c", b"3")])
        await _until_committed(cluster, 3)
        role.terminate()
        assert await asyncio.wait_for(role.wait(), PATIENCE) == 0
    finally:
        if role.returncode is None:
            role.kill()
            await role.wait()
    found = [ROLE_NOTICES.codec.decode(r.value) for r in await cluster.read(ROLE_NOTICES)]
    assert [found[0].count, found[-1].count] == [1, 3]
    assert (found[-1].message, found[-1].offset) == ("Noticed.", 2)


async def _until_committed(cluster: Cluster, count: int) -> None:
    async def committed() -> bool:
        return sum((await cluster.committed("forecaster", CASCADE_SNAPSHOTS)).values()) >= count

    await until(committed, "the messages to be worked off")
