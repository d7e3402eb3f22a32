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
from tests.clock import Clock
from tests.patience import PATIENCE, until
from tests.stream.edge.records import decision, epoch

RATE = 20.0


class Cache:
    """Answers every request, and notes what was asked for."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.hosts: dict[str, str] = {}
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked[request.raw_path] += 1
        self.hosts[request.raw_path] = request.headers["Host"]
        return web.Response(status=500 if request.path == "/broken" else 200, body=b"x" * 10_000)


class Looks(News):
    """News that come when the test says so, to one who has nothing to do before that."""

    def __init__(self) -> None:
        super().__init__()
        self._idle = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        self._idle.set()
        await super().wait(PATIENCE)

    async def looked(self) -> None:
        """Returns once whoever waits has looked, and found nothing to do any more."""
        if self._idle.is_set():
            self._idle.clear()
            self.tell()
        async with asyncio.timeout(PATIENCE):
            await self._idle.wait()


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
    clock = Clock().slept_on_by(monkeypatch, prefetch)
    settings = Settings(edge="lyon", edge_server=cache.url, edge_prefetch_rate=RATE)
    table, news, registry = EdgeTable(settings, life="a"), Looks(), CollectorRegistry()
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
        await news.looked()
        clock.now += prefetch._SETTLE_SECONDS
        await news.looked()
        assert not cache.asked, "nothing is obeyed before an epoch is closed"
        table.close(epoch(0, clock.now), clock.now)
        await news.looked()
        assert cache.asked == Counter(wanted)
        assert clock.slept == [1 / RATE] * len(wanted), "a pause after each"
        # Renewed decisions are not fetched again; one that was withdrawn and came back is.
        for name in wanted:
            table.decide(decision(name, verdict="prefetch"))
        table.withdraw(wanted[0])
        await news.looked()
        table.decide(decision(wanted[0], verdict="prefetch"))
        await news.looked()
        assert cache.asked == Counter(wanted), "the cache has yet to hear of it"
        clock.now += prefetch._SETTLE_SECONDS
        await news.looked()
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
        await until(lambda: len(cache.hosts) == 3, "the prefetches")
    finally:
        running.cancel()
    own = cache.url.removeprefix("http://")
    assert cache.hosts == {path: host or own for path, host in hosts.items()}
