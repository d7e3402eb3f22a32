"""What lies in two partitions is noticed, as long as that is news."""

from __future__ import annotations

import time

from aiokafka import ConsumerRecord

from tests.stream.gateway.conftest import Parts
from topics.catalogue import CASCADE_SNAPSHOTS, EDGE_WINDOWS, Topic


def lying(topic: Topic, key: bytes, partition: int, ago: float = 1.0) -> ConsumerRecord:
    at = round((time.time() - ago) * 1000)
    return ConsumerRecord(topic.name, partition, 0, at, 0, key, b"", None, 0, 0, ())


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
