"""Which stage keeps heartbeats, as the gateway tells it."""

from __future__ import annotations

import math
import re

from aiokafka import ConsumerRecord, TopicPartition

from stream.gateway.tables.heartbeats import STAGES
from tests.clock import Clock
from tests.stream.gateway.conftest import Parts
from tests.stream.gateway.test_health import Told, seen, words
from topics.catalogue import CACHE_DECISIONS, CATALOGUE, POPULARITY_FORECASTS, Topic
from topics.heartbeat import KEY


def heartbeat(topic: Topic, partition: int, sent: float) -> ConsumerRecord:
    return ConsumerRecord(
        topic.name, partition, 0, round(sent * 1000), 0, KEY, None, 0, 18, 0, ()
    )  # fmt: skip


def beating(now: float, **late: float) -> Parts:
    """A gateway of an hour whose stages have all let a heartbeat through; some long ago."""
    parts = Parts()
    heartbeats = parts.state.heartbeats
    heartbeats._started = now - 3600
    for role, (topic, _) in STAGES.items():
        heartbeats.expect([TopicPartition(topic, 0), TopicPartition(topic, 1)])
        for partition in (0, 1):
            sent = now - (late.get(role, 1.0) if partition else 1.0)
            heartbeats.take(CATALOGUE[topic], [heartbeat(CATALOGUE[topic], partition, sent)])
    return parts


async def test_all_that_come_through_are_told_with_the_time_that_they_took(clock: Clock) -> None:
    now = clock.now
    health = await seen(beating(now), Told())
    for role in health.roles:
        assert (role.last_passed_wall, role.passed_seconds) == (now - 1, 1)
    assert "heartbeat" not in words(health)


async def test_without_a_heart_nobody_misses_anything(clock: Clock) -> None:
    parts = Parts()
    # One of a heart that was there before the gateway was.
    parts.state.take(POPULARITY_FORECASTS, [heartbeat(POPULARITY_FORECASTS, 0, clock.now - 900)])
    health = await seen(parts, Told())
    assert all(role.last_passed_wall is None for role in health.roles)
    assert "heartbeat" not in words(health)
    assert math.isnan(parts.state.heartbeats.age("forecaster"))


async def test_the_first_role_that_keeps_them_is_named_and_its_partition(clock: Clock) -> None:
    parts = beating(clock.now, forecaster=90.0, scorer=95.0)
    health = await seen(parts, Told())
    assert health.level == "warning"
    (note,) = [note for note in health.notes if "heartbeat" in note.text]
    assert note.text == "No heartbeat has come through the forecaster for 90 s, of partition 1."
    assert parts.registry.get_sample_value(
        "tidecast_gateway_heartbeat_age_seconds", {"role": "scorer"}
    ) == 95  # fmt: skip


async def test_a_role_that_has_let_none_through_at_all_is_missed(clock: Clock) -> None:
    now = clock.now
    parts = Parts()
    heartbeats = parts.state.heartbeats
    heartbeats._started = now - 100
    heartbeats.expect(TopicPartition(topic, 0) for topic, _ in STAGES.values())
    heartbeats._missed_from = now - 60
    for role in ("tracker", "forecaster", "scorer", "historian"):
        topic = CATALOGUE[STAGES[role][0]]
        heartbeats.take(topic, [heartbeat(topic, 0, now)])
    assert list(heartbeats.stuck()) == ["ranker"]
    assert next(role for role in (await seen(parts, Told())).roles if role.name == "ranker") \
        .last_passed_wall is None  # fmt: skip


async def test_where_none_comes_at_all_it_is_the_heart(clock: Clock) -> None:
    parts = beating(clock.now, **dict.fromkeys(STAGES, 120.0))
    told = words(await seen(parts, Told()))
    assert re.search(r"No heartbeat has come for 2(\.0)? min", told)
    assert "tidecast heart" in told
    assert "through the" not in told


def test_heartbeats_are_no_records_of_the_topic() -> None:
    parts = Parts()
    parts.state.take(CACHE_DECISIONS, [heartbeat(CACHE_DECISIONS, 0, 1e9)])
    assert parts.state.received[CACHE_DECISIONS.name] == 0
    assert parts.state.undecodable == 0
    assert len(parts.state.edges) == 0
