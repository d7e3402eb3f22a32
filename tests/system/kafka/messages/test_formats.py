"""Roles on other people's records: what they say is what they say of the same in our own."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stream.historian.role import EdgePartition
from stream.letters.reading import Letter
from stream.settings import Settings
from tests.stream.historian.test_role import message
from tests.system.tracker_log import cluster_of, simulated, snapshots_of
from topics.catalogue import (
    CASCADE_SNAPSHOTS,
    DEAD_LETTERS,
    EDGE_REQUESTS,
    EDGE_WINDOWS,
    SOCIAL_EVENTS,
)
from topics.records import EdgeRequest

pytestmark = [pytest.mark.system, pytest.mark.both]

MAPPING = """
[social.events]
where = [{ path = "is", not = "ping" }]
cascade_id = "of.post"
event_id = "key"
user_id = "by"
timestamp = { from = "ms", time = "milliseconds" }
kind = { from = "is", values = { note = "post" }, otherwise = "share" }
parent_id = "via"
parent_user_id = "from.user"
"""


async def test_an_access_log_gives_the_windows_of_its_requests(tmp_path: Path) -> None:
    requests = [
        EdgeRequest("fra-3", f"https://www.example.com/{number % 7}", 600.0 + number, 612)
        for number in range(1_200)
    ]
    lines = [
        f"192.0.2.7 - - [{datetime.fromtimestamp(one.timestamp, UTC):%d/%b/%Y:%H:%M:%S} +0000] "
        f'"GET {one.object_id.removeprefix("https://www.example.com")}?utm_source=x HTTP/1.1" '
        '200 612 "-" "-"'
        for one in requests
    ]
    lines[100:100] = ["no line of a log", lines[0].replace("GET", "POST")]
    shipped = [json.dumps({"host": {"name": "fra-3"}, "message": line}).encode() for line in lines]
    expected = EdgePartition(Settings()).process(
        [message(number, one, 9_000_000) for number, one in enumerate(requests)]
    )
    form = "filebeat+nginx-combined?scheme=https&host=www.example.com"
    async with cluster_of(tmp_path, requests_format=form) as cluster:
        await cluster.publish(EDGE_REQUESTS, [("fra-3", value) for value in shipped])
        cluster.start("historian")
        windows = await cluster.read(EDGE_WINDOWS, lambda seen: len(seen) >= len(expected))
        assert [one.value for one in windows] == [one.value for one in expected] != []
        [letter] = map(Letter, await cluster.read(DEAD_LETTERS, lambda seen: len(seen) >= 1))
        assert letter.record.value == shipped[100]
        assert "expected a line as nginx-combined has them" in letter.headers["message"]


async def test_a_platforms_own_json_gives_the_snapshots_of_its_events(tmp_path: Path) -> None:
    log = simulated(3_000)
    (tmp_path / "mine.toml").write_text(MAPPING)
    sent = [("ping", b'{"is": "ping"}')]
    for one in log:
        event = SOCIAL_EVENTS.codec.decode(one.value)
        told = {
            "of": {"post": event.cascade_id}, "key": event.event_id, "by": event.user_id,
            "ms": event.timestamp * 1e3, "via": event.parent_id,
            "from": {"user": event.parent_user_id},
            "is": "note" if event.kind == "post" else "boost",
        }  # fmt: skip
        sent.append((event.cascade_id, json.dumps(told).encode()))
    expected = snapshots_of([one.value for one in log], 10)
    async with cluster_of(tmp_path, social_format=str(tmp_path / "mine.toml")) as cluster:
        await cluster.publish(SOCIAL_EVENTS, sent)
        cluster.start("tracker")
        seen = await cluster.read(CASCADE_SNAPSHOTS, lambda seen: len(seen) >= len(expected))
        found = {CASCADE_SNAPSHOTS.codec.decode(one.value).snapshot_id: one.value for one in seen}
        assert found == expected
        assert await cluster.read(DEAD_LETTERS) == []
