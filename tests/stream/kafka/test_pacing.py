"""Empty fetches are spaced out; nothing else waits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest

from stream.kafka import pacing
from tests.clock import Clock

IDLE = 0.05
FETCH = FetchRequest(500, 1, 1000, 0, [("t", [(0, 0, 1000)])])
NO_ERROR, OUT_OF_RANGE = 0, 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().slept_on_by(monkeypatch, pacing)


async def held(clock: Clock, request: Any, response: Any, after: float = 0.0) -> list[float]:
    """How long a paced consumer holds a response that the broker gives after so many seconds."""

    async def send(node_id: int, request: Any) -> Any:
        clock.now += after
        return response

    consumer = SimpleNamespace(_client=SimpleNamespace(send=send))
    pacing.pace_fetches(consumer, IDLE)
    assert await consumer._client.send(0, request) is response
    return clock.slept


def fetched(*partitions: tuple[int, int, int, bytes]) -> SimpleNamespace:
    return SimpleNamespace(topics=[("t", list(partitions))])


@pytest.mark.parametrize("empty", [b"", None])
async def test_an_early_empty_answer_is_held(clock: Clock, empty: bytes | None) -> None:
    answer = fetched((0, NO_ERROR, 5, b""), (1, NO_ERROR, 5, empty))
    assert await held(clock, FETCH, answer, after=IDLE / 4) == [
        pytest.approx(IDLE * 3 / 4, abs=1e-6)
    ]


async def test_a_late_empty_answer_passes_at_once(clock: Clock) -> None:
    assert await held(clock, FETCH, fetched((0, NO_ERROR, 5, b"")), after=0.5) == []


async def test_records_errors_and_other_requests_pass_at_once(clock: Clock) -> None:
    with_records = fetched((0, NO_ERROR, 5, b""), (1, NO_ERROR, 5, b"records"))
    assert await held(clock, FETCH, with_records) == []
    assert await held(clock, FETCH, fetched((0, OUT_OF_RANGE, 5, b""))) == []
    assert await held(clock, MetadataRequest([]), SimpleNamespace()) == []
