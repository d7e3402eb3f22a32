"""What roles noticed, and what the gateway notices itself, as health tells it."""

from __future__ import annotations

import time
from typing import Any

from aiokafka import ConsumerRecord

from tests.stream.gateway.conftest import Parts, forecast
from tests.stream.gateway.test_health import Told, seen, words
from topics.catalogue import (
    CASCADE_SNAPSHOTS,
    EDGE_WINDOWS,
    POPULARITY_FORECASTS,
    ROLE_NOTICES,
    Topic,
)
from topics.records import RoleNotice


def notice(partition: int = 0, ago: float = 10.0, **changes: Any) -> RoleNotice:
    at = time.time() - ago
    fields: dict[str, Any] = {
        "role": "tracker", "instance": "0", "kind": "no_key", "topic": "social.events",
        "partition": partition, "count": 20, "first_at": at - 5, "last_at": at,
        "message": "20 of 20 messages have no key.",
    }  # fmt: skip
    return RoleNotice(**{**fields, **changes})


def lying(topic: Topic, key: bytes, partition: int, ago: float = 1.0) -> ConsumerRecord:
    at = round((time.time() - ago) * 1000)
    return ConsumerRecord(topic.name, partition, 0, at, 0, key, b"", None, 0, 0, ())


async def test_what_was_noticed_in_the_last_hour_is_told_once_for_all_partitions() -> None:
    parts = Parts()
    parts.take(POPULARITY_FORECASTS, forecast(observed_at=time.time(), published_at=time.time()))
    parts.take(ROLE_NOTICES, *(notice(partition) for partition in (2, 0, 1)))
    parts.take(ROLE_NOTICES, notice(2, count=25, message="25 of 30 messages have no key."))
    parts.take(ROLE_NOTICES, notice(3, ago=3_700))
    health = await seen(parts, Told())
    assert health.level == "warning"
    [told] = health.noticed
    assert (told.role, told.kind, told.topic) == ("tracker", "no_key", "social.events")
    assert (told.partitions, told.count) == ([0, 1, 2], 65)
    assert "The tracker noticed messages without a key: social.events, partitions 0, 1, 2;" in (
        words(health)
    )
    assert "65 so far" in words(health)
    assert "25 of 30 messages have no key. Set the key in the producer" in words(health)


async def test_two_workers_count_together_and_two_kinds_apart() -> None:
    parts = Parts()
    parts.take(ROLE_NOTICES, notice(count=1), notice(count=2, instance="1"))
    parts.take(ROLE_NOTICES, notice(kind="foreign_key", ago=5))
    told = parts.state.noticed()
    assert [(found.kind, found.count) for found in told] == [("foreign_key", 20), ("no_key", 3)]


async def test_a_kind_of_a_newer_role_is_told_as_it_comes() -> None:
    parts = Parts()
    parts.take(ROLE_NOTICES, notice(kind="moon_phase", message="It is full."))
    assert "The tracker noticed moon_phase: social.events" in words(await seen(parts, Told()))
    assert "It is full." in words(await seen(parts, Told()))


async def test_many_partitions_are_not_all_listed() -> None:
    parts = Parts()
    parts.take(ROLE_NOTICES, *(notice(partition) for partition in range(40)))
    assert "partitions 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 28 more;" in words(
        await seen(parts, Told())
    )


async def test_a_cascade_with_snapshots_in_two_partitions_is_noticed() -> None:
    parts = Parts()
    for partition in (1, 1, 3):
        parts.state.places.take(
            CASCADE_SNAPSHOTS, [lying(CASCADE_SNAPSHOTS, "größe".encode(), partition)]
        )
    parts.state.places.take(CASCADE_SNAPSHOTS, [lying(CASCADE_SNAPSHOTS, b"other", 0)])
    [told] = parts.state.noticed()
    assert (told.role, told.kind, told.topic) == ("gateway", "scattered", "social.events")
    assert (told.partitions, told.count) == ((3,), 1)
    assert "The cascade 'größe' lies in partition 1 and in partition 3" in told.text
    labels = {"role": "gateway", "kind": "scattered", "topic": "social.events", "partition": "3"}
    assert parts.registry.get_sample_value("tidecast_noticed_total", labels) == 1


async def test_so_is_one_whose_snapshots_come_with_the_others() -> None:
    parts = Parts()
    for partition in (0, 1):
        parts.state.take(CASCADE_SNAPSHOTS, [lying(CASCADE_SNAPSHOTS, b"c", partition)])
    assert [found.kind for found in parts.state.noticed()] == ["scattered"]


async def test_an_edge_with_windows_in_two_partitions_is_noticed() -> None:
    parts = Parts()
    for partition in (0, 2):
        parts.state.places.take(EDGE_WINDOWS, [lying(EDGE_WINDOWS, b"lyon", partition)])
    [told] = parts.state.noticed()
    assert told.topic == "edge.requests"
    assert "The edge 'lyon' lies in partition 0 and in partition 2" in told.text


async def test_where_something_lay_long_ago_is_no_news() -> None:
    parts = Parts()
    for partition in (0, 1):
        parts.state.places.take(
            CASCADE_SNAPSHOTS, [lying(CASCADE_SNAPSHOTS, b"c", partition, ago=4_000)]
        )
    assert parts.state.noticed() == []


async def test_as_many_places_are_remembered_as_may_be_held() -> None:
    parts = Parts(gateway_cascades=2, gateway_edges=1)
    for key in (b"a", b"b", b"c", b"d"):
        parts.state.places.take(CASCADE_SNAPSHOTS, [lying(CASCADE_SNAPSHOTS, key, 0)])
    parts.state.places.take(CASCADE_SNAPSHOTS, [lying(CASCADE_SNAPSHOTS, b"a", 1)])
    assert parts.state.noticed() == [], "forgotten: it came first"
    parts.state.places.take(CASCADE_SNAPSHOTS, [lying(CASCADE_SNAPSHOTS, b"d", 1)])
    assert len(parts.state.noticed()) == 1
