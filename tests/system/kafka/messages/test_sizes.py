"""Messages that are larger than their topic takes: no role stops of one, and none is lost sight of.

A broker refuses a whole batch where it is larger than the topic's `max.message.bytes`, or its own
`message.max.bytes` where the topic says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream.doctor.checks import examine
from stream.kafka.broker import MESSAGE_LIMIT, connect_admin
from stream.letters.reading import Letter
from stream.letters.redrive import redrive
from stream.sources.messages import Message
from tests.patience import until
from tests.system.conftest import Cluster
from tests.system.roles.test_forecaster import QUICK, snapshot_values
from tests.system.tracker_log import (
    by_id,
    cluster_of,
    send,
    simulated,
    snapshots_of,
    tracked,
    values,
)
from topics.catalogue import CASCADE_SNAPSHOTS, DEAD_LETTERS, POPULARITY_FORECASTS, Topic

pytestmark = [pytest.mark.system, pytest.mark.apache]

EVENTS = 3_000
LIMIT = 1_200


async def take_at_most(cluster: Cluster, limits: Mapping[Topic, int]) -> None:
    """Sets what topics take at once, bytes."""
    wanted = [
        ConfigResource(
            ConfigResourceType.TOPIC, topic.name, topic.configs() | {MESSAGE_LIMIT: str(limit)}
        )
        for topic, limit in limits.items()
    ]
    admin = await connect_admin(cluster.settings)
    await admin.alter_configs(wanted)
    await admin.close()


async def letters(cluster: Cluster, count: int) -> list[Letter]:
    """All that there are, once they are so many."""
    found = await cluster.read(DEAD_LETTERS, lambda records: len(records) >= count)
    return [Letter(record) for record in found]


@pytest.fixture(scope="module")
def log() -> list[Message]:
    return simulated(EVENTS + 1)


async def test_a_snapshot_that_its_topic_does_not_take_is_a_dead_letter(
    tmp_path: Path, log: list[Message]
) -> None:
    expected = snapshots_of((message.value for message in log[:EVENTS]), least=20)
    async with cluster_of(tmp_path, partitions=1) as cluster:
        await take_at_most(cluster, {CASCADE_SNAPSHOTS: LIMIT})
        tracker = cluster.start("tracker")
        await send(cluster, log[:EVENTS])
        await tracked(cluster, EVENTS)
        said = by_id(await values(cluster, CASCADE_SNAPSHOTS))
        refused = {
            CASCADE_SNAPSHOTS.codec.decode(letter.record.value).snapshot_id: letter
            for letter in await letters(cluster, 1)
        }
        assert said.keys() & refused.keys() == set(), "each is in one place"
        assert said | {name: one.record.value for name, one in refused.items()} == expected
        assert said and max(map(len, said.values())) < LIMIT
        for letter in refused.values():
            size = len(letter.record.value)
            assert size > LIMIT - 200
            assert (letter.error, letter.role) == ("TooLargeError", "tracker")
            assert f"cascade.snapshots takes at most {LIMIT}" in letter.headers["message"]
        assert tracker.metrics()["tidecast_noticed_total"] >= len(refused)
        findings = [one for one in await examine(cluster.settings) if "takes messages" in one.what]
        assert [one.what.split(":")[0] for one in findings] == [CASCADE_SNAPSHOTS.name]

        # It goes on, and so does one that begins; what is mended goes back when that is forced.
        cluster.stop(tracker)
        cluster.start("tracker")
        await send(cluster, log[EVENTS:])
        await tracked(cluster, EVENTS + 1)
        kept = await redrive(cluster.settings, lambda _: True, force=True)
        assert kept.sent.total() == 0, "its topic would not take it now either"
        assert all("takes at most" in found.reason for found in kept.refused)
        await take_at_most(cluster, {CASCADE_SNAPSHOTS: 1_000_000})
        sent = await redrive(cluster.settings, lambda _: True, force=True)
        assert sent.sent[CASCADE_SNAPSHOTS.name] == len(await cluster.read(DEAD_LETTERS))
        assert by_id(await values(cluster, CASCADE_SNAPSHOTS)).keys() >= expected.keys()


async def test_so_is_a_forecast_and_its_letter_is_cut_where_letters_are_too_large(
    tmp_path: Path,
) -> None:
    async with cluster_of(tmp_path, partitions=1, forecaster=QUICK) as cluster:
        await take_at_most(cluster, {POPULARITY_FORECASTS: 500, DEAD_LETTERS: LIMIT})
        forecaster = cluster.start("forecaster")
        await cluster.publish(CASCADE_SNAPSHOTS, snapshot_values(30))
        found = {letter.record.key for letter in await letters(cluster, 30)}
        assert len(found) == 30
        [letter, *_] = await letters(cluster, 30)
        assert letter.is_cut and (letter.error, letter.role) == ("TooLargeError", "forecaster")

        async def committed() -> bool:
            return (await cluster.committed("forecaster", CASCADE_SNAPSHOTS))[0] == 30

        await until(committed, "the batch is committed")
        assert await cluster.read(POPULARITY_FORECASTS) == []
        cluster.stop(forecaster)
