"""What is read waits for what is written: a role that cannot publish does not grow."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from tests.system.kafka_front import Front
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

pytestmark = pytest.mark.system

_EVENTS, _BATCH, _IN_FLIGHT = 40_000, 500, 4
_TAKEN_IN, _MEMORY = "tidecast_tracker_records_total", "process_resident_memory_bytes"


async def test_a_tracker_that_cannot_publish_reads_on_no_further(tmp_path: Path) -> None:
    log = simulated(_EVENTS)
    bounds = {"poll_records": _BATCH, "batches_in_flight": _IN_FLIGHT, "fetch_bytes": 100_000}
    async with cluster_of(tmp_path, partitions=1, **bounds) as cluster:
        await send(cluster, log)
        with Front(cluster.settings.kafka).running() as front:
            front.takes_records.clear()
            straight = cluster.settings
            cluster.settings = dataclasses.replace(straight, kafka=front.address)
            tracker = cluster.start("tracker")
            cluster.settings = straight

            async with asyncio.timeout(60):
                while tracker.metrics().get(_TAKEN_IN, 0) < _IN_FLIGHT * _BATCH:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            before = tracker.metrics()
            await asyncio.sleep(6)
            after = tracker.metrics()
            assert after[_TAKEN_IN] == _IN_FLIGHT * _BATCH, "four batches wait; a fifth is not read"
            assert after[_MEMORY] < before[_MEMORY] + (4 << 20)
            assert await values(cluster, CASCADE_SNAPSHOTS) == []
            assert sum((await cluster.committed("tracker", SOCIAL_EVENTS)).values()) == 0

            front.takes_records.set()
            await tracked(cluster, _EVENTS)
            said = by_id(await values(cluster, CASCADE_SNAPSHOTS))
            assert said == snapshots_of(message.value for message in log)
