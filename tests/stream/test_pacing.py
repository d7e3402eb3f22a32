"""Empty fetches are spaced out; nothing else waits."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest

from stream.pacing import pace_fetches

IDLE = 0.05
FETCH = FetchRequest(500, 1, 1000, 0, [("t", [(0, 0, 1000)])])
NO_ERROR, OUT_OF_RANGE = 0, 1


async def elapsed(request: Any, response: Any) -> float:
    """Seconds that a paced consumer takes for a request which the broker answers at once."""

    async def send(node_id: int, request: Any) -> Any:
        return response

    consumer = SimpleNamespace(_client=SimpleNamespace(send=send))
    pace_fetches(consumer, IDLE)
    start = time.monotonic()
    assert await consumer._client.send(0, request) is response
    return time.monotonic() - start


def fetched(*partitions: tuple[int, int, int, bytes]) -> SimpleNamespace:
    return SimpleNamespace(topics=[("t", list(partitions))])


@pytest.mark.parametrize("empty", [b"", None])
async def test_an_early_empty_answer_is_held(empty: bytes | None) -> None:
    answer = fetched((0, NO_ERROR, 5, b""), (1, NO_ERROR, 5, empty))
    assert await elapsed(FETCH, answer) >= IDLE * 0.9


async def test_records_errors_and_other_requests_pass_at_once() -> None:
    with_records = fetched((0, NO_ERROR, 5, b""), (1, NO_ERROR, 5, b"records"))
    assert await elapsed(FETCH, with_records) < IDLE / 2
    assert await elapsed(FETCH, fetched((0, OUT_OF_RANGE, 5, b""))) < IDLE / 2
    assert await elapsed(MetadataRequest([]), SimpleNamespace()) < IDLE / 2
