"""Has the cache fetch, before they are asked for, the objects whose verdict says so.

The agent asks the cache itself, as a client would: the cache fetches the object from its origin
and, knowing the verdict, stores it. Each object is fetched once for as long as its decision is in
force, however often that is renewed, one after the other and at a bounded rate. A prefetch that
fails is counted and not repeated: the first client who asks does the same.
"""

from __future__ import annotations

import asyncio
import logging
import time

import aiohttp
from yarl import URL

from stream.edge.metrics import Metrics
from stream.edge.news import News
from stream.edge.table import Change, EdgeTable
from stream.edge.target import is_target
from stream.settings import Settings

log = logging.getLogger(__name__)

# After a verdict before it is acted upon, so that the cache has heard of it.
_SETTLE_SECONDS = 2.0
_FETCH_SECONDS = 30.0
_IDLE_SECONDS = 1.0
_CHUNK = 1 << 16


class Prefetcher:
    """Fetches through the cache at `edge_server`.

    Args:
        settings: the cache's URL and the rate.
        table: of the edge.
        metrics: counts fetches and failures.
        news: of the table.
    """

    def __init__(self, settings: Settings, table: EdgeTable, metrics: Metrics, news: News) -> None:
        self._settings = settings
        self._table = table
        self._metrics = metrics
        self._news = news
        self._cursor = ""
        self._waiting: dict[str, float] = {}  # when each may be fetched, in order
        self._fetched: set[str] = set()  # and still to be prefetched by their decisions

    async def run(self) -> None:
        """Prefetches until it is cancelled."""
        timeout = aiohttp.ClientTimeout(total=_FETCH_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            while True:
                self._take_in()
                name = self._due()
                if name is None:
                    await self._news.wait(_IDLE_SECONDS)
                    continue
                started = time.monotonic()
                await self._fetch(session, name)
                pause = 1 / self._settings.edge_prefetch_rate - (time.monotonic() - started)
                await asyncio.sleep(max(0.0, pause))

    def _take_in(self) -> None:
        more = True
        while more:
            page = self._table.page(self._cursor, time.time())
            if page.reset:
                # What was told is forgotten, and what is in force follows.
                self._waiting.clear()
                self._fetched = {name for name in self._fetched if self._wanted(name)}
            for change in page.changes:
                self._hear(change)
            self._cursor, more = page.cursor, page.more

    def _hear(self, change: Change) -> None:
        name = change.object_id
        if change.verdict != "prefetch":
            self._waiting.pop(name, None)
            self._fetched.discard(name)
        elif name not in self._fetched and name not in self._waiting:
            if is_target(name):
                self._waiting[name] = time.monotonic() + _SETTLE_SECONDS
            else:
                self._metrics.unaddressable.inc()

    def _due(self) -> str | None:
        """The object to be fetched next, if one may be."""
        if not self._waiting or not self._table.obeying(time.time()):
            return None
        name, when = next(iter(self._waiting.items()))
        if when > time.monotonic():
            return None
        del self._waiting[name]
        return name if self._wanted(name) else None

    def _wanted(self, name: str) -> bool:
        held = self._table.look_up(name, time.time())
        return held is not None and held.verdict == "prefetch"

    async def _fetch(self, session: aiohttp.ClientSession, name: str) -> None:
        self._fetched.add(name)
        try:
            target = URL(self._settings.edge_server + name, encoded=True)
            async with session.get(target, allow_redirects=False) as answer:
                async for _ in answer.content.iter_chunked(_CHUNK):
                    pass
                answer.raise_for_status()
        except (aiohttp.ClientError, TimeoutError) as error:
            self._metrics.prefetch_failures.inc()
            log.warning("prefetch of %s failed: %s", name, error)
        else:
            self._metrics.prefetched.inc()
