"""Records of a partition, and which of them are about this edge."""

from __future__ import annotations

import time
from typing import Any

from aiokafka import ConsumerRecord
from prometheus_client import CollectorRegistry

from stream.edge.follower import DecisionFollower
from stream.edge.metrics import Metrics
from stream.edge.news import News
from stream.edge.table import EdgeTable
from stream.settings import Settings
from tests.stream.edge.records import decision, epoch
from topics.catalogue import CACHE_DECISIONS, decision_key
from topics.heartbeat import KEY


def record(offset: int, key: bytes | None, content: Any) -> ConsumerRecord:
    """A message; a record as its content is encoded."""
    value = content
    if content is not None and not isinstance(content, bytes):
        value = CACHE_DECISIONS.codec.encode(content)
    return ConsumerRecord("cache.decisions", 0, offset, 0, 0, key, value, None, 0, 0, ())


def follower(edge: str) -> tuple[DecisionFollower, EdgeTable, CollectorRegistry]:
    settings, registry = Settings(edge=edge), CollectorRegistry()
    table = EdgeTable(settings, life="a")
    return DecisionFollower(settings, table, Metrics(registry, table), News()), table, registry


def test_only_its_own_edge_is_taken_in_whatever_the_others_are_called() -> None:
    for edge in ("lyon", 'ly"on', "ly,on", "ly]on", "é"):
        one, table, _ = follower(edge)
        others = [edge + "2", edge[:-1] or "x", "paris", edge + '","']
        messages = [record(0, decision_key(edge, "/a"), decision("/a", edge=edge))]
        for other in others:
            messages.append(record(0, decision_key(other, "/b"), decision("/b", edge=other)))
            messages.append(record(0, decision_key(other, "/a"), None))
            messages.append(record(0, decision_key(other), epoch(9, time.time(), edge=other)))
        messages.append(record(0, decision_key(edge), epoch(3, time.time(), edge=edge)))
        one.take_in(messages)
        assert len(table) == 1 and table.look_up("/a", time.time()) is not None
        assert table.clock.epoch == 3


def test_a_null_value_returns_the_object() -> None:
    one, table, _ = follower("lyon")
    key = decision_key("lyon", "/a")
    one.take_in([record(0, key, decision("/a")), record(1, key, None)])
    assert len(table) == 0


def test_what_does_not_decode_is_counted_and_passed_over() -> None:
    one, table, registry = follower("lyon")
    key = decision_key("lyon", "/a")
    one.take_in(
        [
            record(0, key, b"not JSON"),
            record(1, key, b'{"record":"decision"}'),
            record(2, b'["lyon"', None),
            record(3, decision_key("lyon"), None),  # an epoch is never taken back
            record(4, None, b"{}"),
            record(5, b'["lyon","\xff"]', None),
            record(6, key, decision("/b", edge="paris")),
            record(7, key, decision("/a")),
        ]
    )
    assert len(table) == 1
    assert registry.get_sample_value("tidecast_edge_agent_bad_records_total") == 6
    assert registry.get_sample_value("tidecast_edge_agent_records_total") == 1


def test_a_heartbeat_is_noted_and_changes_nothing() -> None:
    one, table, registry = follower("lyon")
    one.take_in([record(0, decision_key("lyon", "/a"), decision("/a")), record(1, KEY, None)])
    assert len(table) == 1
    labels = {"role": "edge-agent", "topic": CACHE_DECISIONS.name, "partition": "0"}
    assert registry.get_sample_value("tidecast_heartbeat_age_seconds", labels)
    assert registry.get_sample_value("tidecast_edge_agent_bad_records_total") == 0
