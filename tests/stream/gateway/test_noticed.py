"""What roles noticed, as health tells it."""

from __future__ import annotations

import time
from typing import Any

from tests.stream.gateway.conftest import Parts, forecast
from tests.stream.gateway.test_health import Told, seen, words
from topics.catalogue import POPULARITY_FORECASTS, ROLE_NOTICES
from topics.records import RoleNotice


def notice(partition: int = 0, ago: float = 10.0, **changes: Any) -> RoleNotice:
    at = time.time() - ago
    fields: dict[str, Any] = {
        "role": "tracker", "instance": "0", "kind": "no_key", "topic": "social.events",
        "partition": partition, "count": 20, "first_at": at - 5, "last_at": at,
        "message": "20 of 20 messages have no key.",
    }  # fmt: skip
    return RoleNotice(**{**fields, **changes})


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
