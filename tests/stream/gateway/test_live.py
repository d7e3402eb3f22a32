"""Server-sent events: who is told what, and that nobody holds the others up."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from stream.gateway.live import TooManyListenersError
from tests.patience import PATIENCE
from tests.stream.gateway.conftest import Parts, epoch, forecast, outcome
from topics.catalogue import CACHE_DECISIONS, CASCADE_OUTCOMES, POPULARITY_FORECASTS


async def heard(parts: Parts, kinds: set[str], name: str | None, *values: Any) -> list[Any]:
    """What one listener is told of the values in one tick, as (event, data)."""
    stream = parts.live.listen(frozenset(kinds), name)
    assert b"retry" in await anext(stream)
    for topic, value in values:
        parts.take(topic, value)
    parts.live._tell(ping=False)
    parts.live.close()
    text = b"".join([block async for block in stream]).decode()
    blocks = [block.split("\n") for block in text.strip().split("\n\n") if block]
    return [(kind.removeprefix("event: "), json.loads(data[6:])) for kind, data in blocks]


async def test_changes_name_what_has_changed(parts: Parts) -> None:
    told = await heard(
        parts, {"changes"}, None,
        (POPULARITY_FORECASTS, forecast("a")), (POPULARITY_FORECASTS, forecast("a")),
        (CACHE_DECISIONS, epoch()),
    )  # fmt: skip
    areas = {"areas": ["cascades", "edges"], "cascades": ["a"], "edges": ["edge-0"], "more": False}
    assert told == [("changes", areas)]
    assert len(parts.live) == 0 and parts.state.listen is None


async def test_records_are_those_of_the_topic(parts: Parts) -> None:
    told = await heard(
        parts, {"forecast"}, "b",
        (POPULARITY_FORECASTS, forecast("a")), (POPULARITY_FORECASTS, forecast("b")),
        (CASCADE_OUTCOMES, outcome("b")),
    )  # fmt: skip
    record = json.loads(POPULARITY_FORECASTS.codec.encode(forecast("b")))
    assert told == [("forecast", record)]


async def test_what_is_too_much_for_a_tick_is_counted(parts: Parts) -> None:
    many = [(CASCADE_OUTCOMES, outcome(f"c{i}")) for i in range(600)]
    told = await heard(parts, {"outcome"}, None, *many)
    assert [kind for kind, _ in told].count("outcome") == 500
    assert told[-1] == ("skipped", 100)


async def test_many_changes_are_not_all_named(parts: Parts) -> None:
    many = [(CASCADE_OUTCOMES, outcome(f"c{i}")) for i in range(600)]
    ((_, changes),) = await heard(parts, {"changes"}, None, *many)
    assert (len(changes["cascades"]), changes["more"]) == (200, True)


async def test_a_listener_who_does_not_read_is_let_go(parts: Parts) -> None:
    stream = parts.live.listen(frozenset({"changes"}), None)
    await anext(stream)
    for i in range(40):
        parts.take(CASCADE_OUTCOMES, outcome(f"c{i}"))
        parts.live._tell(ping=False)
    async with asyncio.timeout(PATIENCE):
        assert len([block async for block in stream]) <= 20


async def test_streams_are_bounded() -> None:
    parts = Parts(http_streams=1)
    stream = parts.live.listen(frozenset({"changes"}), None)
    await anext(stream)
    with pytest.raises(TooManyListenersError, match="http_streams"):
        parts.live.admit()
    await stream.aclose()
    parts.live.admit()
