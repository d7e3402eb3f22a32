"""Prefetches against a cache that counts."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from stream.edge import prefetch
from stream.edge.agent import tcp_socket
from stream.edge.metrics import Metrics
from stream.edge.news import News
from stream.edge.prefetch import Prefetcher
from stream.edge.table import EdgeTable
from stream.settings import Settings
from tests.stream.edge.records import decision, epoch

RATE = 20.0


class Cache:
    """Answers every request, and notes what was asked for and when."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.hosts: dict[str, str] = {}
        self.times: list[float] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked[request.raw_path] += 1
        self.hosts[request.raw_path] = request.headers["Host"]
        self.times.append(time.monotonic())
        return web.Response(status=500 if request.path == "/broken" else 200, body=b"x" * 10_000)


@pytest.fixture
async def cache() -> AsyncIterator[Cache]:
    cache = Cache()
    application = web.Application()
    application.router.add_get("/{path:.*}", cache.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    listener = tcp_socket("127.0.0.1", 0)
    await web.SockSite(runner, listener).start()
    cache.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    yield cache
    await runner.cleanup()


async def test_what_is_to_be_prefetched_is_fetched_once_and_no_faster_than_allowed(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "_SETTLE_SECONDS", 0.0)
    settings = Settings(edge="lyon", edge_server=cache.url, edge_prefetch_rate=RATE)
    table, news, registry = EdgeTable(settings, life="a"), News(), CollectorRegistry()
    table.complete = True
    wanted = [f"/v/{number}?a=%20b" for number in range(12)] + ["/broken"]
    for name in wanted:
        table.decide(decision(name, verdict="prefetch"))
    for name in ("no path", "/a\r\nX: 1", "/a b", "/a#b", "/a?"):
        table.decide(decision(name, verdict="prefetch"))
    table.decide(decision("/admitted"))
    metrics = Metrics(registry, table)
    running = asyncio.create_task(Prefetcher(settings, table, metrics, news).run())
    try:
        await asyncio.sleep(0.3)
        assert not cache.asked, "nothing is obeyed before an epoch is closed"
        started = time.monotonic()
        table.close(epoch(0, time.time()), time.time())
        news.tell()
        while len(cache.asked) < len(wanted):
            await asyncio.sleep(0.02)
            assert time.monotonic() - started < 30
        assert min(b - a for a, b in zip(cache.times, cache.times[1:], strict=False)) > 0.7 / RATE
        # Renewed decisions are not fetched again; one that was withdrawn and came back is.
        for name in wanted:
            table.decide(decision(name, verdict="prefetch"))
        table.withdraw(wanted[0])
        news.tell()
        await asyncio.sleep(0.2)
        table.decide(decision(wanted[0], verdict="prefetch"))
        news.tell()
        while cache.asked[wanted[0]] < 2:
            await asyncio.sleep(0.02)
            assert time.monotonic() - started < 30
        await asyncio.sleep(0.3)
    finally:
        running.cancel()
    assert cache.asked == Counter(wanted) + Counter([wanted[0]])
    assert registry.get_sample_value("tidecast_edge_agent_prefetched_total") == len(wanted)
    assert registry.get_sample_value("tidecast_edge_agent_prefetch_failures_total") == 1
    assert registry.get_sample_value("tidecast_edge_agent_unaddressable_total") == 5


@pytest.mark.parametrize(
    ("site", "hosts"),
    [
        ("", {"/v": None, "/w": "a.example", "/x": "b.example:8080"}),
        ("www.example", {"/v": "www.example", "/w": "a.example", "/x": "b.example:8080"}),
    ],
)
async def test_an_object_is_fetched_under_the_host_that_clients_name(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, site: str, hosts: dict[str, str | None]
) -> None:
    monkeypatch.setattr(prefetch, "_SETTLE_SECONDS", 0.0)
    settings = Settings(edge_server=cache.url, edge_site=site, edge_prefetch_rate=1000.0)
    table, news = EdgeTable(settings, life="a"), News()
    table.complete = True
    for name in ("/v", "a.example/w", "b.example:8080/x"):
        table.decide(decision(name, verdict="prefetch"))
    table.close(epoch(0, time.time()), time.time())
    metrics = Metrics(CollectorRegistry(), table)
    running = asyncio.create_task(Prefetcher(settings, table, metrics, news).run())
    try:
        started = time.monotonic()
        while len(cache.hosts) < 3:
            await asyncio.sleep(0.02)
            assert time.monotonic() - started < 30
    finally:
        running.cancel()
    own = cache.url.removeprefix("http://")
    assert cache.hosts == {path: host or own for path, host in hosts.items()}
