"""Keeps a Varnish informed: its copy of the decisions is objects in its own cache.

Varnish's language has no tables, but Varnish is one. Each decision is stored in it as an empty
object under a name of its own, with the time to live that the decision has; `tidecast.vcl` looks
there when the object itself is not in the cache. So expiry, bounds and speed are Varnish's, and no
request waits for the agent.

    PUT    /.tidecast/decision?<object>  stores a decision: X-Tidecast-Verdict, X-Tidecast-TTL
    DELETE /.tidecast/decision?<object>  the object returns to the default
    DELETE /.tidecast/decision           all do
    PUT    /.tidecast/mark               Varnish now has everything that agent X-Tidecast-Mark has
    GET    /.tidecast/mark               404 if it has not, or has been restarted since

`tidecast.vcl` answers these on a listener of the agent's own. Until Varnish has everything, the
agent tells its probe that decisions are not to be obeyed.
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
from stream.edge.target import target
from stream.settings import Settings

log = logging.getLogger(__name__)

_AT_ONCE = 8  # connections to Varnish
_ASK_SECONDS = 2.0  # between two looks whether Varnish still has what it was told
_RETRY_SECONDS = 1.0
_ANSWER_SECONDS = 5.0
_DECISION = "/.tidecast/decision"


class FillError(Exception):
    """Varnish answered what `tidecast.vcl` would not."""


class VarnishFill:
    """Tells the Varnish at `edge_varnish` of every change.

    Args:
        settings: where Varnish is.
        table: of the edge.
        metrics: counts what was told, and failures.
        news: of the table.
    """

    def __init__(self, settings: Settings, table: EdgeTable, metrics: Metrics, news: News) -> None:
        self._url = settings.edge_varnish
        self._table = table
        self._metrics = metrics
        self._news = news
        self._cursor = ""
        self._marked = False

    @property
    def filled(self) -> bool:
        """Whether Varnish has heard of all decisions, though perhaps not of the latest changes."""
        return self._marked

    @property
    def is_current(self) -> bool:
        """Whether it has heard of the latest changes too."""
        return self._marked and not self._table.is_news(self._cursor)

    async def run(self) -> None:
        """Keeps Varnish informed until it is cancelled."""
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        connector = aiohttp.TCPConnector(limit=_AT_ONCE)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            asked = -_ASK_SECONDS
            while True:
                try:
                    if time.monotonic() - asked >= _ASK_SECONDS:
                        await self._ask(session)
                        asked = time.monotonic()
                    if self._table.complete:
                        await self._catch_up(session)
                except (aiohttp.ClientError, TimeoutError, FillError) as error:
                    self._marked, self._cursor = False, ""
                    self._metrics.fill_failures.inc()
                    log.warning("Varnish at %s cannot be told: %s", self._url, error)
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                if not self._table.is_news(self._cursor) or not self._table.complete:
                    await self._news.wait(_ASK_SECONDS)

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        """A Varnish that was restarted, or told by another agent, is told everything."""
        async with session.get(self._url + "/.tidecast/mark") as answer:
            if answer.headers.get("X-Tidecast-Mark") != self._table.life:
                self._marked, self._cursor = False, ""

    async def _catch_up(self, session: aiohttp.ClientSession) -> None:
        more = True
        while more:
            page = self._table.page(self._cursor, time.time())
            if page.reset:
                self._marked = False
                await self._request(session, "DELETE", _DECISION, {})
            for start in range(0, len(page.changes), _AT_ONCE):
                await asyncio.gather(
                    *(self._tell(session, change) for change in page.changes[start:][:_AT_ONCE])
                )
            self._cursor, more = page.cursor, page.more
        if not self._marked:
            headers = {"X-Tidecast-Mark": self._table.life}
            await self._request(session, "PUT", "/.tidecast/mark", headers)
            self._marked = True

    async def _tell(self, session: aiohttp.ClientSession, change: Change) -> None:
        if target(change.object_id) is None:
            self._metrics.unaddressable.inc()
        elif change.verdict is None or change.expires_in <= 0:
            await self._send(session, "DELETE", change.object_id)
        else:
            await self._send(session, "PUT", change.object_id, change)
        self._metrics.filled.inc()

    async def _send(
        self, session: aiohttp.ClientSession, method: str, name: str, change: Change | None = None
    ) -> None:
        headers = {}
        if change is not None and change.verdict is not None:
            headers["X-Tidecast-Verdict"] = change.verdict
            headers["X-Tidecast-TTL"] = f"{change.expires_in:.3f}s"
        await self._request(session, method, f"{_DECISION}?{name}", headers)

    async def _request(
        self, session: aiohttp.ClientSession, method: str, target: str, headers: dict[str, str]
    ) -> None:
        url = URL(self._url + target, encoded=True)
        async with session.request(method, url, headers=headers) as answer:
            if answer.status != 200:
                raise FillError(
                    f"{method} {target}: got status {answer.status}; expected 200 from "
                    "tidecast.vcl, included first, on varnishd's listener named tidecast"
                )
