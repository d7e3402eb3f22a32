"""What is read waits for what is written: a role that cannot publish does not grow."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.patience import until
from tests.system.kafka.front import FETCH, HEARTBEAT, Front
from tests.system.tracker_log import (
    by_id,
    cluster_of,
    send,
    simulated,
    snapshots_of,
    tracked,
    values,
)
from topics.catalogue import CASCADE_SNAPSHOTS, SOCIAL_EVENTS

# Embedded: the front does not stand before a broker that tells clients its own address.
pytestmark = [pytest.mark.system, pytest.mark.embedded]

_EVENTS, _BATCH, _IN_FLIGHT = 40_000, 500, 4
_TAKEN_IN = "tidecast_tracker_records_total"


async def beats(front: Front) -> None:
    """Returns when a role has told its group some more times that it is there."""
    enough = front.asked[HEARTBEAT] + 5
    await until(lambda: front.asked[HEARTBEAT] >= enough, "heartbeats of a group")


async def test_a_tracker_that_cannot_publish_reads_on_no_further(tmp_path: Path) -> None:
    log = simulated(_EVENTS)
    bounds = {"poll_records": _BATCH, "batches_in_flight": _IN_FLIGHT, "fetch_bytes": 100_000,
              "session_timeout": 6}  # fmt: skip
    async with cluster_of(tmp_path, partitions=1, **bounds) as cluster:
        await send(cluster, log)
        with Front(cluster.settings.kafka).running() as front:
            front.takes_records.clear()
            straight = cluster.settings
            cluster.settings = dataclasses.replace(straight, kafka=front.address)
            tracker = cluster.start("tracker")
            cluster.settings = straight

            await until(
                lambda: tracker.metrics().get(_TAKEN_IN, 0) >= _IN_FLIGHT * _BATCH, tracker.tail
            )
            await beats(front)  # what was asked for by then has come
            fetches = front.asked[FETCH]
            await beats(front)
            assert tracker.metrics()[_TAKEN_IN] == _IN_FLIGHT * _BATCH, "a fifth is not read"
            assert front.asked[FETCH] == fetches, "nor does it grow by more that is fetched"
            assert await values(cluster, CASCADE_SNAPSHOTS) == []
            assert sum((await cluster.committed("tracker", SOCIAL_EVENTS)).values()) == 0

            front.takes_records.set()
            await tracked(cluster, _EVENTS)
            said = by_id(await values(cluster, CASCADE_SNAPSHOTS))
            assert said == snapshots_of(message.value for message in log)
