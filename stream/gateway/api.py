"""The endpoints: what each answers, from the tables and the watch."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from stream.gateway import queries
from stream.gateway.health import Watch
from stream.gateway.live import Live, TooManyListenersError
from stream.gateway.problems import problem
from stream.gateway.state import State
from stream.gateway.tables.cascades import Entry
from stream.gateway.tables.views import (
    Cascade,
    CascadePage,
    Changes,
    DuePage,
    Edge,
    EdgePage,
    Health,
    Models,
    Ready,
)

_JSON = "application/json"
_RANKED_SECONDS = (
    0.5  # for which a ranking stands: of 50,000 cascades it takes tens of milliseconds
)
_RANKINGS = 32
EVENTS = "text/event-stream"


class NotHeldError(LookupError):
    """The gateway does not hold what was asked for; says why that may be."""


class _Ranking(NamedTuple):
    """Cascades in the order asked for, when they were put so, and whether they are an archive."""

    made: float
    archive: bool
    entries: list[Entry]


@dataclass(frozen=True)
class Endpoint:
    """One path: what it takes, what it answers, and the method of `Api` that does."""

    path: str
    summary: str
    query: type[msgspec.Struct]
    answer: Any
    method: str
    media: str = _JSON


ENDPOINTS = (
    Endpoint(
        "/api/cascades",
        "Cascades by forecast growth, or what was forecast last where none is live; filter, sort, "
        "page.",
        queries.CascadesQuery, CascadePage, "cascades",
    ),
    Endpoint(
        "/api/cascades/{cascade_id}",
        "One cascade: its curve, its forecasts over time with intervals, its graph.",
        queries.CascadeQuery, Cascade, "cascade",
    ),
    Endpoint(
        "/api/due", "Forecasts whose horizon has come, beside what was counted then.",
        queries.DueQuery, DuePage, "due",
    ),
    Endpoint(
        "/api/edges", "Edges: hit ratio of a cache that obeys, beside LRU and a decayed count.",
        queries.EdgesQuery, EdgePage, "edges",
    ),
    Endpoint(
        "/api/edges/{edge_id}", "One edge: its epochs, and its decisions with their reasons.",
        queries.EdgeQuery, Edge, "edge",
    ),
    Endpoint(
        "/api/models", "Model versions: who answers, realised error and coverage by horizon.",
        queries.Nothing, Models, "models",
    ),
    Endpoint(
        "/api/health", "The stream: each role, its lag in seconds, its last heartbeat, in words.",
        queries.Nothing, Health, "health",
    ),
    Endpoint(
        "/api/ready", "200 once what the topics held at the start has been read, 503 before.",
        queries.Nothing, Ready, "ready",
    ),
    Endpoint(
        "/api/stream", "Server-sent events: what has changed, or the records themselves.",
        queries.StreamQuery, Changes, "stream", EVENTS,
    ),
)  # fmt: skip


class Api:
    """Answers. Every method takes the request and its query."""

    def __init__(self, state: State, watch: Watch, live: Live) -> None:
        self._state = state
        self._watch = watch
        self._live = live
        self._rankings: dict[tuple[str, ...], _Ranking] = {}

    def routes(self) -> list[Route]:
        """A route for each endpoint, of GET and HEAD alone."""
        return [
            Route(_routed(endpoint.path), self._handler(endpoint), methods=["GET"])
            for endpoint in ENDPOINTS
        ]

    def _handler(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        answer = getattr(self, "_" + endpoint.method)

        async def handle(request: Request) -> Response:
            try:
                answered = answer(request, queries.read(endpoint.query, request.query_params))
            except msgspec.ValidationError as error:
                return problem(400, "the query is not understood", _worded(error, endpoint))
            except NotHeldError as error:
                return problem(404, "not held", str(error))
            except TooManyListenersError as error:
                return problem(503, "too many streams", str(error), {"retry-after": "10"})
            if isinstance(answered, Response):
                return answered
            status, headers = 200, {"cache-control": "no-store"}
            if isinstance(answered, Ready) and not answered.ready:
                status, headers["retry-after"] = 503, "1"
            return Response(msgspec.json.encode(answered), status, headers, _JSON)

        return handle

    def _cascades(self, _: Request, query: queries.CascadesQuery) -> CascadePage:
        table = self._state.cascades
        ranking = self._rank(query)
        page = ranking.entries[query.offset : query.offset + query.limit]
        return CascadePage(
            len(ranking.entries), len(table), query.offset, table.event_time, ranking.archive,
            [table.row(entry) for entry in page],
        )  # fmt: skip

    def _rank(self, query: queries.CascadesQuery) -> _Ranking:
        """The table's ranking; many who look at one page are answered from one."""
        asked = query.sort, query.state, query.q, query.model
        now = time.monotonic()
        found = self._rankings.get(asked)
        if found is None or now - found.made > _RANKED_SECONDS:
            if len(self._rankings) >= _RANKINGS:
                self._rankings.clear()
            found = self._rankings[asked] = self._ranking(query, now)
        return found

    def _ranking(self, query: queries.CascadesQuery, now: float) -> _Ranking:
        table = self._state.cascades
        sort, state = query.sort, query.state
        archive = state == "current" and table.is_archive
        if state == "current":
            state = "all" if archive else "live"
        if sort == "default":
            sort = "recent" if archive else "growth"
        return _Ranking(now, archive, table.ranked(sort, state, query.q, query.model))

    def _cascade(self, request: Request, query: queries.CascadeQuery) -> Cascade:
        name = request.path_params["cascade_id"]
        found = self._state.cascades.cascade(name, query.nodes)
        if found is None:
            raise NotHeldError(
                f"no forecast of cascade {name!r} is held: it was never forecast (too few events, "
                "or another spelling), or it made room for newer ones"
            )
        return found

    def _due(self, _: Request, query: queries.DueQuery) -> DuePage:
        table = self._state.cascades
        latest = list(table.due.values())[-query.limit :]
        return DuePage(latest[::-1], table.due_inside, table.due_total)

    def _edges(self, _: Request, query: queries.EdgesQuery) -> EdgePage:
        return self._state.edges.page(query.offset, query.limit)

    def _edge(self, request: Request, query: queries.EdgeQuery) -> Edge:
        name = request.path_params["edge_id"]
        found = self._state.edges.edge(name, query.q, query.offset, query.limit)
        if found is None:
            raise NotHeldError(
                f"no closed window of edge {name!r} is held; /api/edges lists those that are"
            )
        return found

    def _models(self, _: Request, __: queries.Nothing) -> Models:
        return self._state.models.models()

    def _health(self, _: Request, __: queries.Nothing) -> Health:
        return self._watch.health()

    def _ready(self, _: Request, __: queries.Nothing) -> Ready:
        return self._watch.ready()

    def _stream(self, request: Request, query: queries.StreamQuery) -> Response:
        kinds = queries.kinds(query.events)
        self._live.admit()
        if request.method == "HEAD":
            return Response(media_type=EVENTS)
        return StreamingResponse(
            self._live.listen(kinds, query.id or None),
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
            media_type=EVENTS,
        )


def _routed(path: str) -> str:
    """Starlette's spelling: an identifier may hold slashes."""
    return path.replace("_id}", "_id:path}")


def _worded(error: msgspec.ValidationError, endpoint: Endpoint) -> str:
    allowed = ", ".join(endpoint.query.__struct_fields__) or "none"
    return f"{error}; parameters of {endpoint.path}: {allowed} (see /api/openapi.json)"
