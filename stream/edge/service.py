"""What an edge agent answers, in HTTP, on its Unix socket and its port alike.

    GET  /decision?object=/v/17.mp4    what to do with one object
    POST /decisions                    the same for many: {"objects": ["/v/17.mp4", ...]}
    GET  /changes?since=CURSOR&wait=5  what has changed, at once or as soon as something does
    GET  /obeyed                       200 while decisions are to be obeyed, 503 while not
    GET  /status                       how the agent is
    GET  /metrics                      for Prometheus

`store` is the advice: false for an object without a decision while decisions are obeyed, true
otherwise. Everything that has to end by itself if the agent dies comes with the seconds it is good
for: a decision (`expires_in`), and the obedience as such (`lease`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable

import msgspec
import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from stream.edge.metrics import Metrics
from stream.edge.news import News
from stream.edge.table import EdgeTable, Held
from stream.edge.varnish import VarnishFill
from stream.http.access import HEADERS, access
from stream.http.problems import MEDIA, Refusal, wrong_method
from stream.settings import Settings

_BODY_BYTES = 1 << 20
_LOOK_UPS = 10_000  # objects in one request
_LONGEST_WAIT = 60.0  # seconds


class LookUps(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /decisions`."""

    objects: list[str]


class Service:
    """The handlers, and the application that routes to them.

    Args:
        settings: bounds.
        table: of the edge.
        metrics: counts what is asked.
        news: tells those who wait.
        fill: what keeps a Varnish informed, if anything does.

    Raises:
        AccessError: others than this machine would reach the port, and no token is set.
    """

    def __init__(
        self,
        settings: Settings,
        table: EdgeTable,
        metrics: Metrics,
        news: News,
        fill: VarnishFill | None,
    ) -> None:
        self._settings = settings
        self._table = table
        self._metrics = metrics
        self._news = news
        self._fill = fill
        self._answering = 0
        self._access = access(settings, "edge") if settings.edge_port else None

    def application(self) -> web.Application:
        """Routes to the handlers."""
        application = web.Application(
            client_max_size=_BODY_BYTES, middlewares=[_worded, self._admitted, self._bounded]
        )
        application.on_response_prepare.append(_mark)
        application.add_routes(
            [
                web.get("/decision", self._decision),
                web.post("/decisions", self._decisions),
                web.get("/changes", self._changes),
                web.get("/obeyed", self._obeyed),
                web.get("/status", self._status),
                web.get("/metrics", self._exposed),
            ]
        )
        return application

    @web.middleware
    async def _admitted(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Refuses who may not ask; on the Unix socket its permissions have decided that."""
        transport = request.transport
        # The name of a Unix socket is a path, that of a port an address and a number.
        over_port = transport is None or isinstance(transport.get_extra_info("sockname"), tuple)
        if self._access is not None and over_port:
            refusal = self._access.refusal(
                request.remote or "",
                request.headers.get("Host", ""),
                request.headers.get("Authorization", ""),
                time.monotonic(),
            )
            if refusal is not None:
                return _refused(refusal)
        return await handler(request)

    @web.middleware
    async def _bounded(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Refuses what is beyond the bound on requests at once."""
        if self._answering >= self._settings.edge_clients:
            self._metrics.refused.inc()
            answer = _refused(
                Refusal(
                    503,
                    "busy",
                    "got as many requests as are allowed at once; the setting edge_clients",
                    {"retry-after": "1"},
                )
            )
            answer.force_close()
            return answer
        self._answering += 1
        try:
            return await handler(request)
        finally:
            self._answering -= 1

    async def _decision(self, request: web.Request) -> web.Response:
        object_id = request.query.get("object")
        if not object_id:
            raise web.HTTPBadRequest(text="name the object: /decision?object=/v/17.mp4\n")
        self._metrics.look_ups.inc()
        wall = time.time()
        return _json(self._advice(object_id, wall, self._table.obeying(wall)))

    async def _decisions(self, request: web.Request) -> web.Response:
        try:
            asked = msgspec.json.decode(await request.read(), type=LookUps).objects
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise web.HTTPBadRequest(
                text=f'got {error}; expected {{"objects": ["/v/17.mp4", ...]}}\n'
            ) from error
        if len(asked) > _LOOK_UPS:
            raise web.HTTPRequestEntityTooLarge(
                _LOOK_UPS, len(asked), text=f"got {len(asked)} objects; at most {_LOOK_UPS}\n"
            )
        self._metrics.look_ups.inc(len(asked))
        wall = time.time()
        obeyed = self._table.obeying(wall)
        return _json(
            {"obeyed": obeyed, "decisions": [self._advice(name, wall, obeyed) for name in asked]}
        )

    def _advice(self, object_id: str, wall: float, obeyed: bool) -> dict[str, object]:
        held: Held | None = self._table.look_up(object_id, wall)
        advice: dict[str, object] = {
            "object": object_id,
            "store": held is not None or not obeyed,
            "obeyed": obeyed,
            "verdict": None,
        }
        if held is not None:
            advice["verdict"] = held.verdict
            advice["score"] = held.score
            advice["expires_in"] = held.expires_at - self._table.clock.now(wall)
        return advice

    async def _changes(self, request: web.Request) -> web.Response:
        cursor = request.query.get("since", "")
        try:
            wait = float(request.query.get("wait", 0))
        except ValueError:
            wait = math.nan
        if not 0 <= wait <= _LONGEST_WAIT:
            raise web.HTTPBadRequest(
                text=f"wait: got {request.query['wait']!r}; expected seconds, 0 to "
                f"{_LONGEST_WAIT:g}\n"
            )
        table, obeyed = self._table, self._table.obeying(time.time())
        deadline = time.monotonic() + wait
        while (
            not table.is_news(cursor)
            and obeyed == table.obeying(time.time())
            and (left := deadline - time.monotonic()) > 0
        ):
            await self._news.wait(min(left, 1.0))
        wall = time.time()
        page = table.page(cursor, wall)
        self._metrics.changes.inc(len(page.changes))
        return _json(
            {
                "reset": page.reset,
                "changes": [
                    [change.object_id, change.verdict, change.expires_in, change.score]
                    for change in page.changes
                ],
                "cursor": page.cursor,
                "more": page.more,
                "obeyed": table.obeying(wall),
                "lease": table.lease(wall),
                "epoch": table.clock.epoch,
                "window": table.clock.length,
                "burst": table.burst,
            }
        )

    async def _obeyed(self, _: web.Request) -> web.Response:
        obeyed = self._table.obeying(time.time()) and (self._fill is None or self._fill.filled)
        return web.Response(status=200 if obeyed else 503, text="yes\n" if obeyed else "no\n")

    async def _status(self, _: web.Request) -> web.Response:
        wall, table = time.time(), self._table
        staleness = table.clock.staleness(wall)
        return _json(
            {
                "edge": self._settings.edge,
                "complete": table.complete,
                "obeyed": table.obeying(wall),
                "decisions": len(table),
                "epoch": table.clock.epoch,
                "event_time": table.clock.now(wall),
                "staleness": staleness if math.isfinite(staleness) else None,
                "cursor": table.cursor,
                "informed": None if self._fill is None else self._fill.is_current,
            }
        )

    async def _exposed(self, _: web.Request) -> web.Response:
        exposed = generate_latest(self._metrics.registry)
        return web.Response(body=exposed, headers={"Content-Type": CONTENT_TYPE_LATEST})


@web.middleware
async def _worded(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Has what is refused be said as every server here says it."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        return _refused(wrong_method(error.method, request.path, error.allowed_methods))
    except web.HTTPNotFound:
        return _refused(Refusal(404, "nothing here", f"got {request.method} {request.path}"))
    except web.HTTPClientError as error:
        return _refused(Refusal(error.status, error.reason.lower(), (error.text or "").strip()))


def _refused(refusal: Refusal) -> web.Response:
    return web.Response(
        status=refusal.status,
        body=refusal.encode(),
        headers={"Content-Type": MEDIA, **refusal.headers},
    )


async def _mark(_: web.Request, answer: web.StreamResponse) -> None:
    """What browsers are told about every answer."""
    answer.headers.update(HEADERS)


def _json(content: object) -> web.Response:
    return web.Response(body=orjson.dumps(content), content_type="application/json")
