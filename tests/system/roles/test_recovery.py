"""Workers that take over from a checkpoint, and from one that cannot be used."""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from stream.checkpoints.recovery import Recovery
from stream.kafka.marks import Mark, Point
from stream.processes.roles import RoleProcess
from stream.sources.messages import Message
from stream.tracker.role import TrackedPartition
from tests.altered import alter
from tests.patience import until
from tests.system.conftest import Cluster
from tests.system.tracker_log import (
    EVENTS,
    by_id,
    cluster_of,
    send,
    simulated,
    snapshots_of,
    tracked,
    values,
)
from topics.catalogue import CASCADE_SNAPSHOTS, SOCIAL_EVENTS

pytestmark = pytest.mark.system

OFTEN = "0.05"  # seconds between two checkpoints


@pytest.fixture(scope="module")
def log() -> list[Message]:
    return simulated()


@pytest.fixture(scope="module")
def expected(log: list[Message]) -> dict[str, bytes]:
    return snapshots_of(message.value for message in log)


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


def saved(folder: Path) -> int:
    """The offset of the newest checkpoint, of the one partition; 0 without any."""
    return max((int(path.name[:19]) for path in checkpoints(folder)), default=0)


def started_from(role: RoleProcess) -> list[int]:
    """How many records each of its partitions replayed, of those that had something committed."""
    told = re.findall(r"of which (\d+) records replayed", role.log.read_text())
    return [int(count) for count in told]


@asynccontextmanager
async def half_way(
    folder: Path, log: list[Message]
) -> AsyncIterator[tuple[Cluster, RoleProcess, Path]]:
    """A cluster, its tracker that took in half of the log, and where it wrote two checkpoints."""
    state = folder / "state"
    often = {"checkpoint_interval": OFTEN, "checkpoint_url": str(state)}
    async with cluster_of(folder, partitions=1, poll_records=500, **often) as cluster:
        tracker = cluster.start("tracker")
        for begin, end in itertools.pairwise((0, EVENTS // 4, EVENTS // 2)):
            await send(cluster, log[begin:end])
            await tracked(cluster, end)
            await until(lambda end=end: saved(state) == end, f"a checkpoint of offset {end}")
        yield cluster, tracker, state


@pytest.mark.both
async def test_killed_between_checkpoints_it_goes_on_from_the_last_one(
    tmp_path: Path, log: list[Message], expected: dict[str, bytes]
) -> None:
    async with half_way(tmp_path, log) as (cluster, tracker, state):
        cluster.kill(tracker)
        checkpoints(state)[-1].unlink()  # as if it had been killed before the last one
        await send(cluster, log[EVENTS // 2 :])
        heir = cluster.start("tracker")
        await tracked(cluster, EVENTS)
        assert by_id(await values(cluster, CASCADE_SNAPSHOTS)) == expected
        (replayed,) = started_from(heir)
        assert 0 < replayed < EVENTS // 2, "it began in the middle"
        assert heir.metrics()["tidecast_tracker_rebuilt_records_total"] == replayed
        cluster.stop(heir)
        assert saved(state) == EVENTS, "a stop writes the last one"


async def test_what_cannot_be_used_is_put_aside_and_the_state_rebuilt(
    tmp_path: Path, log: list[Message], expected: dict[str, bytes]
) -> None:
    async with half_way(tmp_path, log) as (cluster, tracker, state):
        cluster.kill(tracker)
        for path in checkpoints(state):
            alter(path)
        broken = len(checkpoints(state))
        await send(cluster, log[EVENTS // 2 :])
        heir = cluster.start("tracker")
        await tracked(cluster, EVENTS)
        assert by_id(await values(cluster, CASCADE_SNAPSHOTS)) == expected
        assert started_from(heir) == [EVENTS // 2]
        assert heir.metrics()["tidecast_checkpoint_failures_total"] == broken
        assert "(unreadable)" in heir.log.read_text()
        assert list(state.rglob("*.rejected"))


async def test_a_second_tracker_takes_its_share_from_the_checkpoints_of_the_first(
    tmp_path: Path, log: list[Message], expected: dict[str, bytes]
) -> None:
    """None is due by time, so those that are there were written before letting go.

    For which a worker has half of its session.
    """
    state = tmp_path / "state"
    rarely = {"checkpoint_interval": "3600", "checkpoint_url": str(state)}
    async with cluster_of(tmp_path, partitions=4, session_timeout="60", **rarely) as cluster:
        first = cluster.start("tracker")
        await send(cluster, log[: EVENTS // 3])
        await tracked(cluster, EVENTS // 3)
        second = cluster.start("tracker", instance="second")
        await until(lambda: second.metrics().get("tidecast_tracker_partitions") == 2, "its share")
        assert started_from(second) == [0, 0], "nothing was replayed"
        await send(cluster, log[EVENTS // 3 :])
        await tracked(cluster, EVENTS)
        assert first.metrics()["tidecast_tracker_partitions"] == 2
        snapshots = by_id(await values(cluster, CASCADE_SNAPSHOTS))
        assert snapshots.items() <= expected.items()
        assert {name.split("@")[1][0] for name in expected.keys() - snapshots.keys()} <= {"a"}


@pytest.fixture
def small(cluster: Cluster) -> Cluster:
    cluster.settings = cluster.settings.having(checkpoint_interval=60.0)
    return cluster


def recovery(cluster: Cluster, **changes: object) -> Recovery:
    settings = cluster.settings.having(**changes)
    return Recovery(SOCIAL_EVENTS, settings.group("tracker"), settings, CollectorRegistry())


def failed(found: Recovery, reason: str) -> float:
    return found.metrics.failures.labels(reason)._value.get()


async def test_only_a_checkpoint_of_this_log_settings_and_past_is_used(small: Cluster) -> None:
    events = [Message(SOCIAL_EVENTS.name, b"c", encoded(number), 0.0) for number in range(20)]
    for _ in range(4):  # somebody else's is told by one record
        await send(small, events)
    records = {}
    for record in await small.read(SOCIAL_EVENTS):
        records.setdefault(record.partition, []).append(record)
    (number, log) = max(records.items(), key=lambda item: len(item[1]))

    def fresh() -> TrackedPartition:
        return TrackedPartition(small.settings)

    first = recovery(small)
    state, (offset, _), _ = await first.restored(number, fresh, committed=0)
    assert offset == 0
    for end in (10, 20):
        state.process(log[end - 10 : end])
        await first.finish([(number, state, Point.after(log[end - 1]))])

    heir, (offset, _), _ = await recovery(small).restored(number, fresh, committed=len(log))
    assert offset == 20
    assert heir.process(log[20:]) == state.process(log[20:])

    back = recovery(small)
    _, (offset, _), _ = await back.restored(number, fresh, committed=15)
    assert (offset, failed(back, "ahead")) == (10, 1)

    changed = small.settings.having(growth_first=3)
    other = recovery(small)
    _, point, _ = await other.restored(number, lambda: TrackedPartition(changed), committed=15)
    assert (point.offset, failed(other, "foreign")) == (0, 1)

    for end in (20, 21):  # as of a log that was replaced
        mark = Mark.of(log[11])._replace(offset=end - 1)
        await first.finish([(number, state, Point(end, mark))])
    replaced = recovery(small)
    _, (offset, _), _ = await replaced.restored(number, fresh, committed=len(log))
    assert (offset, failed(replaced, "foreign")) == (0, 1)

    off = recovery(small, checkpoint_interval=0.0)
    assert (await off.restored(number, fresh, committed=len(log))).point == Point(0)


def encoded(number: int) -> bytes:
    return (
        b'{"cascade_id": "c", "event_id": "e%d", "user_id": "u", "timestamp": %d, "kind": "share"}'
        % (number, 1_000_000_000 + number)
    )


async def test_a_store_that_fails_stops_nothing(small: Cluster, tmp_path: Path) -> None:
    nowhere = tmp_path / "file"
    nowhere.write_text("a file, where a folder would have to be")
    found = recovery(small, checkpoint_url=str(nowhere / "state"))
    state, (offset, _), _ = await found.restored(
        0, lambda: TrackedPartition(small.settings), committed=9
    )
    assert (offset, failed(found, "unreachable")) == (0, 1)
    await found.finish([(0, state, Point(3))])
    assert failed(found, "unwritable") == 1
