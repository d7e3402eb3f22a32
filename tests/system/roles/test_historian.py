"""The historian as a process: every request is in one window, whatever becomes of the process."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest

from tests.system.conftest import died
from tests.system.crashes.mortal_role import AMID_PUBLISH
from topics.catalogue import DEAD_LETTERS, EDGE_REQUESTS, EDGE_WINDOWS
from topics.records import EdgeRequest, EdgeWindow

pytestmark = pytest.mark.system

ROLE = "historian"
EDGES = [f"edge-{number}" for number in range(12)]


def requests(count: int) -> list[EdgeRequest]:
    """Requests of all edges over two hours, out of order by up to twenty seconds."""
    generator = np.random.default_rng(5)
    times = np.sort(generator.uniform(0, 7_200, count)) + generator.uniform(0, 20, count)
    edges = generator.integers(len(EDGES), size=count)
    objects = generator.zipf(1.3, count) % 500
    return [
        EdgeRequest(EDGES[edge], f"object-{code}", float(timestamp), size=int(code) + 1, hit=True)
        for edge, code, timestamp in zip(edges, objects, times, strict=True)
    ]


def messages(content: list[EdgeRequest]) -> list[tuple[str, bytes]]:
    return [(request.edge_id, EDGE_REQUESTS.codec.encode(request)) for request in content]


def ends() -> list[EdgeRequest]:
    """Requests of each edge an hour later: every partition's earlier windows close."""
    return [EdgeRequest(edge, "end", 10_800.0) for edge in EDGES for _ in range(3)]


@pytest.mark.both
async def test_a_killed_historian_loses_nothing_and_repeats_itself_exactly(cluster: Any) -> None:
    content = requests(60_000)
    asked = Counter((r.edge_id, int(r.timestamp // 300), r.object_id) for r in content)
    closing = {(edge, number) for edge, number, _ in asked}
    await cluster.publish(EDGE_REQUESTS, messages(content[:20_000]))
    mortal = cluster.start_mortal(ROLE)
    await cluster.read(EDGE_WINDOWS, lambda seen: len(seen) > len(closing) // 10)
    for more in (content[20_000:40_000], content[40_000:] + ends()):
        mortal.traps.set(AMID_PUBLISH, signal.SIGKILL)
        await cluster.publish(EDGE_REQUESTS, messages(more))
        await died(mortal)
        mortal.start()
    records = await cluster.read(
        EDGE_WINDOWS, lambda seen: len({(r.key, r.value) for r in seen}) >= len(closing)
    )
    mortal.signal(signal.SIGTERM)
    await asyncio.to_thread(mortal.wait)
    assert mortal.process.returncode == 0, mortal.tail()

    # Each window is one content, however often it was said, and stands where its requests did.
    distinct = {(record.key, record.value) for record in records}
    windows: list[EdgeWindow] = [EDGE_WINDOWS.codec.decode(value) for _, value in distinct]
    assert Counter((w.edge_id, w.epoch) for w in windows) == Counter(closing)
    counted: Counter[tuple[str, int, str]] = Counter()
    for window in windows:
        for name, count in zip(window.objects, window.counts().tolist(), strict=True):
            counted[window.edge_id, window.epoch, name] += count
    assert counted == asked
    homes = {r.key: r.partition for r in await cluster.read(EDGE_REQUESTS)}
    assert all(record.partition == homes[record.key] for record in records)


async def test_bad_requests_are_dead_letters_and_the_rest_unharmed(cluster: Any) -> None:
    content = requests(2_000)
    future = EdgeRequest("edge-1", "a", time.time() + 7_200)
    bad = [
        ("edge-1", b'{"edge_id": "edge-1", "object_id": "a"'),
        ("edge-1", b'{"edge_id": "edge-1", "object_id": "a", "timestamp": -5}'),
        ("edge-1", b'{"edge_id": "edge-1", "object_id": "", "timestamp": 5}'),
        ("edge-1", None),
        *messages([future]),
    ]
    await cluster.publish(
        EDGE_REQUESTS, messages(content[:1_000]) + bad + messages(content[1_000:] + ends())
    )
    cluster.start(ROLE)
    letters = await cluster.read(DEAD_LETTERS, lambda seen: len(seen) >= len(bad))
    assert Counter(letter.value for letter in letters) == Counter(value for _, value in bad)
    reasons = {letter.value: dict(letter.headers)["message"].decode() for letter in letters}
    assert "later than the broker took the message" in reasons[bad[-1][1]]
    assert "timestamp" in reasons[bad[1][1]]

    def complete(seen: list[Any]) -> bool:
        windows = [EDGE_WINDOWS.codec.decode(record.value) for record in seen]
        return sum(int(window.counts().sum()) for window in windows) == len(content)

    await cluster.read(EDGE_WINDOWS, complete)
