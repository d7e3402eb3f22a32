"""Bad records through a running tracker, and the way back of those that are good now."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner, Result

from stream.cli import app
from stream.letters.redrive import redrive
from tests.system.conftest import Cluster
from tests.system.roles.test_tracker import BAD, GOOD, cluster_of, encode, tracked
from tests.system.tracker_log import stamped_by_senders
from topics.catalogue import CASCADE_SNAPSHOTS, DEAD_LETTERS, REDRIVEN_LETTERS, SOCIAL_EVENTS

pytestmark = pytest.mark.system

# Events whose message said that it was sent before they were: a sender whose clock was wrong then.
EARLY_MS = 900_000_000_000
LARGE = encode(**GOOD | {"event_id": "large"}, note="x" * 20_000)


async def run(cluster: Cluster, *arguments: str, **settings: str) -> Result:
    """`tidecast dead-letters` in a thread, which has an event loop of its own."""
    environment = {f"TIDECAST_{name.upper()}": value for name, value in settings.items()}
    command = ["dead-letters", *arguments, "--kafka", cluster.settings.kafka]
    return await asyncio.to_thread(CliRunner().invoke, app, command, env=environment)


async def letters(cluster: Cluster, count: int) -> None:
    """Returns once there are so many dead letters."""
    found = await cluster.read(DEAD_LETTERS, lambda records: len(records) >= count)
    assert len(found) == count


async def listed(cluster: Cluster, *arguments: str) -> dict[str, Counter[str]]:
    """What `list --json` counts of each error: letters, those that came back, those sent back."""
    result = await run(cluster, "list", "--json", *arguments)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    counts: dict[str, Counter[str]] = {}
    for group in content["groups"]:
        assert (group["role"], group["topic"]) == ("tracker", "social.events")
        columns = {name: group[name] for name in ("count", "came_back", "redriven")}
        counts.setdefault(group["error"], Counter()).update(columns)
    assert content["letters"] == sum(of["count"] for of in counts.values())
    return counts


@pytest.mark.both
async def test_bad_records_are_listed_kept_back_and_go_back_once_they_are_good(
    tmp_path: Path,
) -> None:
    root = encode(**GOOD | {"cascade_id": "rooted", "event_id": "root", "kind": "post"})
    bad = [root, *(value for value, _, _ in BAD.values())]
    async with cluster_of(tmp_path, partitions=2, growth_first=2) as cluster:
        await stamped_by_senders(cluster.settings)
        await cluster.publish(SOCIAL_EVENTS, [("key", value) for value in bad])
        tracker = cluster.start("tracker")
        await letters(cluster, len(BAD))
        of = Counter(error for _, error, _ in BAD.values())

        # Exact counts, and filters.
        assert {error: c["count"] for error, c in (await listed(cluster)).items()} == of
        assert await listed(cluster, "--error", "OversizedError", "--topic", "social.events") == {
            "OversizedError": Counter(count=1)
        }
        assert await listed(cluster, "--role", "historian") == {}
        assert await listed(cluster, "--since", "2099-01-01") == {}
        assert (await run(cluster, "list", "--topic", "social")).exit_code == 2
        table = await run(cluster, "list")
        assert "BeforeRootError  tracker on social.events" in table.stdout

        # Nothing was mended: nothing goes, and nothing is noted.
        refused = await run(cluster, "redrive")
        assert refused.exit_code == 1, refused.output
        assert "none sent back" in refused.stdout
        assert "it would fail again" in refused.stdout
        assert len(await cluster.read(SOCIAL_EVENTS)) == len(bad)
        assert await cluster.read(REDRIVEN_LETTERS) == []

        # Each is shown as it came, and can do no harm.
        for record in await cluster.read(DEAD_LETTERS):
            copy = tmp_path / "copy"
            place = f"{record.partition}/{record.offset}"
            shown = await run(cluster, "show", place, "--bytes", "100", "--output", str(copy))
            assert shown.exit_code == 0, shown.output
            assert copy.read_bytes() == (record.value or b"")
            assert "role: tracker" in shown.stdout and len(shown.stdout) < 2000
        missing = await run(cluster, "show", "0/99999")
        assert "no dead letter at 0/99999" in str(missing.exception)

        # Two that are good now: a large one, once the setting allows it, and an early one.
        await cluster.publish(SOCIAL_EVENTS, [("key", LARGE)])
        async with AIOKafkaProducer(bootstrap_servers=cluster.settings.kafka) as producer:
            early = encode(**GOOD | {"cascade_id": "rooted", "event_id": "early"})
            key = b"key"
            await producer.send_and_wait(SOCIAL_EVENTS.name, early, key, timestamp_ms=EARLY_MS)
        await letters(cluster, len(BAD) + 2)
        assert await cluster.read(CASCADE_SNAPSHOTS) == []
        dry = await run(cluster, "redrive", "--dry-run", event_bytes="30000")
        # The large one of the first batch and this one, and the early one.
        assert "3 would be sent back to social.events" in dry.stdout
        assert len(await cluster.read(SOCIAL_EVENTS)) == len(bad) + 2

        # The early one is consumed: the second of its cascade. The tracker itself reads up to
        # 16 KiB still, so the large ones come back, and stay.
        sent = await run(cluster, "redrive", event_bytes="30000")
        assert "3 sent back to social.events" in sent.stdout, sent.output
        await letters(cluster, len(BAD) + 4)
        await tracked(cluster, len(bad) + 5)
        (snapshot,) = await cluster.read(CASCADE_SNAPSHOTS)
        decoded = CASCADE_SNAPSHOTS.codec.decode(snapshot.value)
        assert (decoded.snapshot_id, decoded.observed_count) == ("rooted@n2", 2)
        counts = await listed(cluster)
        assert counts["OversizedError"] == Counter(count=4, came_back=2, redriven=2)
        assert counts["InFutureError"] == Counter(count=2, redriven=1)
        again = await run(cluster, "redrive", event_bytes="30000")
        assert "none sent back" in again.stdout
        assert "3 passed over" in again.stdout
        assert "2 kept back" in again.stdout and "failed again" in again.stdout

        # The setting mended there too: what came back goes when that is forced, and is consumed.
        cluster.stop(tracker)
        cluster.settings = cluster.settings.having(event_bytes=30_000)
        cluster.start("tracker")
        forced = await run(
            cluster, "redrive", "--force", "--error", "OversizedError", event_bytes="30000"
        )
        assert forced.exit_code == 0, forced.output
        assert "2 sent back to social.events" in forced.stdout
        events = await cluster.read(SOCIAL_EVENTS)
        await tracked(cluster, len(events))
        assert len(await cluster.read(DEAD_LETTERS)) == len(BAD) + 4
        back = [dict(r.headers) for r in events if r.headers]
        assert Counter(headers["redriven"] for headers in back) == {b"1": 3, b"2": 2}
        assert {r.partition for r in events} == {events[0].partition}, "where they were"
        assert {r.key for r in events} == {b"key"}


async def test_a_record_that_is_forced_for_ever_stops_all_the_same(tmp_path: Path) -> None:
    async with cluster_of(tmp_path, partitions=1) as cluster:
        await cluster.publish(SOCIAL_EVENTS, [("key", b"never good")])
        cluster.start("tracker")
        for round_ in range(3):
            await letters(cluster, round_ + 1)
            done = await redrive(cluster.settings, lambda letter: True, force=True)
            assert (sum(done.sent.values()), done.already) == (1, round_)
        await letters(cluster, 4)
        done = await redrive(cluster.settings, lambda letter: True, force=True)
        assert (sum(done.sent.values()), done.already) == (0, 3)
        assert [found.final for found in done.refused] == [True]
        assert len(await cluster.read(SOCIAL_EVENTS)) == 4
