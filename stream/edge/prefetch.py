"""Has the cache fetch, before they are asked for, the objects whose verdict says so.

The agent asks the cache itself, as a client would, and under the host that clients name: the cache
fetches the object from its origin and, knowing the verdict, stores it where they will find it. Each
object is fetched once for as long as its decision is in force, however often that is renewed, one
after the other and at a bounded rate. A prefetch that fails is counted and not repeated: the first
client who asks does the same.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import NamedTuple

import aiohttp
from aiohttp.hdrs import HOST
from yarl import URL

from stream.edge.metrics import Metrics
from stream.edge.news import News
from stream.edge.table import Change, EdgeTable
from stream.edge.target import target
from stream.settings import Settings

log = logging.getLogger(__name__)

# After a verdict before it is acted upon, so that the cache has heard of it.
_SETTLE_SECONDS = 2.0
_FETCH_SECONDS = 30.0
_IDLE_SECONDS = 1.0
_CHUNK = 1 << 16


class _Prefetch(NamedTuple):
    """An object that waits to be fetched."""

    due: float  # by the monotonic clock, seconds
    url: URL
    host: str  # empty: the cache's own


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
        self._waiting: dict[str, _Prefetch] = {}  # in order
        self._fetched: set[str] = set()  # and still to be prefetched by their decisions

    async def run(self) -> None:
        """Prefetches until it is cancelled."""
        timeout = aiohttp.ClientTimeout(total=_FETCH_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            while True:
                self._take_in()
                due = self._due()
                if due is None:
                    await self._news.wait(_IDLE_SECONDS)
                    continue
                started = time.monotonic()
                await self._fetch(session, *due)
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
            waiting = self._prefetch(name)
            if waiting is not None:
                self._waiting[name] = waiting
            else:
                self._metrics.unaddressable.inc()

    def _prefetch(self, name: str) -> _Prefetch | None:
        """How an object is asked for, if it can be."""
        found = target(name)
        if found is None:
            return None
        url = URL(self._settings.edge_server + found.path, encoded=True)
        if url.raw_path_qs != found.path:  # an empty query would be left out
            return None
        host = found.host or self._settings.edge_site
        return _Prefetch(time.monotonic() + _SETTLE_SECONDS, url, host)

    def _due(self) -> tuple[str, _Prefetch] | None:
        """The object to be fetched next, if one may be."""
        if not self._waiting or not self._table.obeying(time.time()):
            return None
        name, waiting = next(iter(self._waiting.items()))
        if waiting.due > time.monotonic():
            return None
        del self._waiting[name]
        return (name, waiting) if self._wanted(name) else None

    def _wanted(self, name: str) -> bool:
        held = self._table.look_up(name, time.time())
        return held is not None and held.verdict == "prefetch"

    async def _fetch(self, session: aiohttp.ClientSession, name: str, prefetch: _Prefetch) -> None:
        self._fetched.add(name)
        host = prefetch.host
        try:
            async with session.get(
                prefetch.url,
                allow_redirects=False,
                headers={HOST: host} if host else None,
                # With https the certificate is the site's, not that of the cache's address.
                server_hostname=URL(f"//{host}").host if host else None,
            ) as answer:
                async for _ in answer.content.iter_chunked(_CHUNK):
                    pass
                answer.raise_for_status()
        except (aiohttp.ClientError, TimeoutError) as error:
            self._metrics.prefetch_failures.inc()
            log.warning("prefetch of %s failed: %s", name, error)
        else:
            self._metrics.prefetched.inc()
