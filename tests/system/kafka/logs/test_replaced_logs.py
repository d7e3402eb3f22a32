"""Topics that have another log than the one that was read, and records that go before they are.

A topic is deleted and made again while its tracker runs, stands still or is down; what comes out
has to be what the new log says, all of it, whatever was read of the old one.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from stream.processes.roles import RoleProcess
from stream.sources.messages import Message
from tests.patience import PATIENCE, until
from tests.system.brokers import APACHE, BROKERS
from tests.system.conftest import Cluster
from tests.system.roles.test_forecaster import snapshot_values
from tests.system.tracker_log import (
    by_id,
    cluster_of,
    simulated,
    snapshots_of,
    stamped_by_senders,
    tracked,
    values,
)
from topics.catalogue import CASCADE_SNAPSHOTS, POPULARITY_FORECASTS, SOCIAL_EVENTS, Topic

pytestmark = pytest.mark.system

HALF = 6_000
SENT_AT = time.time_ns() // 1_000_000


@pytest.fixture(scope="module")
def log() -> list[Message]:
    return simulated(2 * HALF)


@pytest.fixture(scope="module")
def renamed(log: list[Message]) -> list[Message]:
    """Another log: the same events, of cascades of other names."""
    return [
        Message(
            m.topic,
            b"b" + m.key,
            m.value.replace(b'"cascade_id":"', b'"cascade_id":"b'),
            m.timestamp,
        )
        for m in log
    ]


def snapshots_in(log: Sequence[Message]) -> dict[str, bytes]:
    return snapshots_of((message.value for message in log), least=20)


async def send(cluster: Cluster, log: Sequence[Message], start: int = 0) -> None:
    """Sends messages so that each has the same Kafka timestamp whenever its place is sent again."""
    async with AIOKafkaProducer(bootstrap_servers=cluster.settings.kafka) as producer:
        sent = [
            await producer.send(
                SOCIAL_EVENTS.name, m.value, key=m.key, timestamp_ms=SENT_AT + start + i
            )
            for i, m in enumerate(log)
        ]
        await asyncio.gather(*sent)


@asynccontextmanager
async def administrator(cluster: Cluster) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.settings.kafka)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def make_anew(cluster: Cluster, topic: Topic = SOCIAL_EVENTS, partitions: int = 1) -> None:
    """Deletes a topic and makes it again; a role that asks in between has the broker make it."""
    async with administrator(cluster) as admin, asyncio.timeout(PATIENCE):
        while True:
            await admin.delete_topics([topic.name])
            made = await admin.create_topics([NewTopic(topic.name, partitions, 1)])
            if not made.topic_errors[0][1]:
                return


async def remove(cluster: Cluster, before: int, topic: Topic = SOCIAL_EVENTS) -> None:
    async with administrator(cluster) as admin:
        await admin.delete_records(
            {TopicPartition(topic.name, 0): RecordsToDelete(before_offset=before)}
        )


async def said(cluster: Cluster, expected: dict[str, bytes]) -> dict[str, bytes]:
    """The snapshots, once all that are expected are among them; repeats are the same bytes."""
    found: dict[str, bytes] = {}

    async def all_are_there() -> bool:
        nonlocal found
        found = by_id(await values(cluster, CASCADE_SNAPSHOTS))
        return expected.keys() <= found.keys()

    await until(all_are_there, "what the log says")
    return found


def noticed(role: RoleProcess) -> float:
    """How much a role has noticed about its input, as its metrics say."""
    return role.metrics().get("tidecast_noticed_total", 0)


async def grown_old() -> None:
    """Waits until a log that a role has looked at is not believed to be the same without a look."""
    await asyncio.sleep(1.5)


class Moment:
    """What a role does while its topic is made anew: it runs, stands still, or is down."""

    def __init__(self, name: str, cluster: Cluster, role: str = "tracker") -> None:
        self._name = name
        self._cluster = cluster
        self.role = cluster.start(role)

    async def __aenter__(self) -> Moment:
        if self._name == "runs":
            await grown_old()
        if self._name == "stands still":
            os.kill(self.role._process.pid, signal.SIGSTOP)
        if self._name == "is down":
            self.role.terminate()
            self.role.wait(time.monotonic() + PATIENCE)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._name == "stands still":
            await grown_old()
            os.kill(self.role._process.pid, signal.SIGCONT)
        if self._name == "is down":
            self.role = self._cluster.start(self.role.role)


MOMENTS = ["runs", "stands still", "is down"]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("length", [HALF // 2, 2 * HALF], ids=["shorter", "longer"])
async def test_a_topic_that_is_made_anew_is_read_from_its_beginning(
    tmp_path: Path, log: list[Message], renamed: list[Message], moment: str, length: int
) -> None:
    old = snapshots_in(log[:HALF])
    new = snapshots_in(renamed[:length])
    assert not old.keys() & new.keys()
    async with cluster_of(tmp_path, partitions=1, checkpoint_interval="0.2") as cluster:
        at = Moment(moment, cluster)
        await send(cluster, log[:HALF])
        await tracked(cluster, HALF)
        async with at:
            await make_anew(cluster)
            await send(cluster, renamed[:length])
        assert await said(cluster, old | new) == old | new
        assert noticed(at.role) == 1
        assert (
            f"another one than that which was read up to offset {HALF}" in at.role.log.read_text()
        )
        await until(lambda: at.role.exit_code is None, "it goes on")
        await send(cluster, renamed[length:], length)
        if length < 2 * HALF:
            more = snapshots_in(renamed)
            assert await said(cluster, old | more) == old | more


@pytest.mark.parametrize("moment", MOMENTS[1:])  # one that runs may see the log while it is empty
async def test_a_log_that_was_cut_off_is_read_on_from_the_last_checkpoint_that_is_of_it(
    tmp_path: Path, log: list[Message], renamed: list[Message], moment: str
) -> None:
    """As a broker does that loses its latest records, or a topic that is restored from a copy."""
    kept = HALF // 2
    after = [*log[:kept], *renamed[kept:HALF]]
    old = snapshots_in(log[:HALF])
    new = snapshots_in(after)
    async with cluster_of(tmp_path, partitions=1, checkpoint_interval="3600") as cluster:
        await stamped_by_senders(cluster.settings)  # a copy has the stamps of what it is of
        first = cluster.start("tracker")
        await send(cluster, log[: kept - 100])
        await tracked(cluster, kept - 100)
        cluster.stop(first)  # which writes a checkpoint
        at = Moment(moment, cluster)
        await send(cluster, log[kept - 100 : HALF], kept - 100)
        await tracked(cluster, HALF)
        async with at:
            await make_anew(cluster)
            await send(cluster, after)
        assert await said(cluster, old | new) == old | new
        told = re.findall(r"begun anew at offset (\d+)", at.role.log.read_text())
        assert told == [str(kept - 100)]


@pytest.mark.parametrize("moment", MOMENTS[1:])
async def test_records_that_are_removed_before_they_are_read_are_counted_and_told(
    tmp_path: Path, log: list[Message], moment: str
) -> None:
    gone, left = HALF - 1_500, log[HALF - 1_500 : HALF]
    async with cluster_of(tmp_path, partitions=1) as cluster:
        at = Moment(moment, cluster)
        await send(cluster, log[:1_000])
        await tracked(cluster, 1_000)
        async with at:
            await send(cluster, log[1_000:HALF], 1_000)
            await remove(cluster, before=gone)
        await tracked(cluster, HALF)
        # One that stands still may have been sent the next records before they were removed.
        told = re.findall(rf"records (\d+) to {gone - 1} are gone", at.role.log.read_text())
        read = int(told[0])
        assert 1_000 <= read < gone
        whole = snapshots_in([*log[:read], *left])
        assert await said(cluster, whole) == whole
        assert noticed(at.role) == gone - read
        cluster.stop(at.role)
        heir = cluster.start("tracker")
        await send(cluster, log[HALF : HALF + 1], HALF)
        await tracked(cluster, HALF + 1)
        assert noticed(heir) == 0, "it is told once"


@pytest.mark.parametrize(("before", "after"), [(4, 1), (1, 4)], ids=["fewer", "more"])
async def test_a_topic_may_come_back_with_other_partitions(
    tmp_path: Path, log: list[Message], renamed: list[Message], before: int, after: int
) -> None:
    async with cluster_of(tmp_path, partitions=before) as cluster:
        tracker = cluster.start("tracker")
        await send(cluster, log[:HALF])
        await tracked(cluster, HALF)
        found = by_id(await values(cluster, CASCADE_SNAPSHOTS))
        await make_anew(cluster, partitions=after)
        await until(
            lambda: tracker.metrics().get("tidecast_tracker_partitions") == after, "partitions"
        )
        await send(cluster, renamed[HALF:])

        async def all_is_committed() -> bool:
            return sum((await cluster.committed("tracker", SOCIAL_EVENTS)).values()) == HALF

        await until(all_is_committed, "the new log is committed")
        if after == 1:
            new = snapshots_in(renamed[HALF:])
            assert (await said(cluster, new)).keys() == found.keys() | new.keys()


def snapshots_of_cascades(name: str, count: int) -> list[tuple[str, bytes]]:
    """Snapshots of cascades of a name, which has to have seven letters as theirs has."""
    made = snapshot_values(count)
    return [
        (key.replace("cascade", name), value.replace(b"cascade-", name.encode() + b"-"))
        for key, value in made
    ]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("length", [10, 60], ids=["shorter", "longer"])
async def test_a_model_role_reads_a_topic_that_is_made_anew_from_its_beginning(
    tmp_path: Path, moment: str, length: int
) -> None:
    async with cluster_of(tmp_path, partitions=1, forecaster="boosting") as cluster:
        at = Moment(moment, cluster, "forecaster")

        async def forecast(*names: str) -> None:
            def all_of_them(records: list[ConsumerRecord]) -> bool:
                return set(names) <= {record.key.decode() for record in records if record.value}

            await cluster.read(POPULARITY_FORECASTS, all_of_them)

        old, new = snapshots_of_cascades("oldones", 30), snapshots_of_cascades("newones", length)
        await cluster.publish(CASCADE_SNAPSHOTS, old)
        await forecast(*(key for key, _ in old))
        await until(lambda: noticed(at.role) == 0, "nothing is wrong")
        async with at:
            await make_anew(cluster, CASCADE_SNAPSHOTS)
            await cluster.publish(CASCADE_SNAPSHOTS, new)
        await forecast(*(key for key, _ in new))
        if moment == "is down" and BROKERS.kind == APACHE:
            # Its offsets went with the topic, and one that begins knows no other log.
            assert noticed(at.role) == 0
            return
        await until(lambda: noticed(at.role) == 1, "it is told once")
        assert "another one than that which was read up to offset 30" in at.role.log.read_text()


async def test_a_model_role_counts_records_that_are_removed_before_it_reads_them(
    tmp_path: Path,
) -> None:
    async with cluster_of(tmp_path, partitions=1, forecaster="boosting") as cluster:
        at = Moment("stands still", cluster, "forecaster")
        await cluster.publish(CASCADE_SNAPSHOTS, snapshots_of_cascades("firstly", 10))
        await cluster.read(POPULARITY_FORECASTS, lambda records: len(records) >= 10)
        async with at:
            await cluster.publish(CASCADE_SNAPSHOTS, snapshots_of_cascades("goneone", 50))
            await remove(cluster, before=60, topic=CASCADE_SNAPSHOTS)
            await cluster.publish(CASCADE_SNAPSHOTS, snapshots_of_cascades("leftone", 10))
        await cluster.read(
            POPULARITY_FORECASTS,
            lambda records: (
                {f"leftone-{i}" for i in range(10)} <= {r.key.decode() for r in records}
            ),
        )
        await until(lambda: noticed(at.role) == 50, "what is lost is counted")
