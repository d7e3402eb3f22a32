"""Runs the gateway: follows the topics, looks at the roles, answers over HTTP.

start: port bound -> answering -> the broker and its topics are there -> following them
       (readiness, and the page, tell what is waited for, and when lists are complete)
stop (`stream.processes.stopping`): streams end -> requests in flight are answered -> disconnected
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import uvicorn
from aiokafka import ConsumerRecord
from prometheus_client import CollectorRegistry, Gauge
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from stream.gateway import address, openapi
from stream.gateway.api import Api
from stream.gateway.guard import READING, Guard
from stream.gateway.health import Watch
from stream.gateway.impatience import Impatient
from stream.gateway.live import Live
from stream.gateway.problems import problem
from stream.gateway.state import READ, State
from stream.http.access import access
from stream.http.problems import wrong_method
from stream.kafka.broker import await_topics
from stream.kafka.follow import Follower
from stream.processes import starting
from stream.processes.stopping import when_told
from stream.settings import Settings
from stream.telemetry import setup as telemetry
from stream.workers.heartbeats import parted
from topics.catalogue import EDGE_WINDOWS, Topic

log = logging.getLogger(__name__)

ROLE = "gateway"
STATIC = Path(__file__).parent / "static"
_RECORDS = 500  # decoded at a stretch, some milliseconds, before requests are answered
_CONNECTIONS = 1_000
_HEADER_BYTES = 16_384  # of a request: its line and its headers


def application(settings: Settings, api: Api, registry: CollectorRegistry) -> Starlette:
    """The page and the API as an ASGI application."""
    document = msgspec.json.encode(openapi.document(importlib.metadata.version("tidecast")))

    async def describe(_: Request) -> Response:
        return Response(document, media_type="application/json")

    async def page(_: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def refuse(request: Request, error: Exception) -> Response:
        path = request.scope["path"]
        if isinstance(error, HTTPException) and error.status_code == 405:
            return problem(*wrong_method(request.method, path, READING))
        return problem(
            404,
            "nothing here",
            f"got {request.method} {path}; /api/openapi.json lists what may be asked",
        )

    middleware = [
        Middleware(Guard, access=access(settings, "gateway"), registry=registry),
        Middleware(GZipMiddleware, minimum_size=2_000, compresslevel=4),
    ]
    return Starlette(
        routes=[
            Route("/", page),
            *api.routes(),
            Route("/api/openapi.json", describe),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=middleware,
        exception_handlers={404: refuse, 405: refuse},
    )


def configuration(app: Starlette) -> uvicorn.Config:
    """How Uvicorn serves it, with the bounds on connections."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # a client's word about its own address is not taken
        ws="none",
        lifespan="off",
        http=Impatient,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=5,
    )


class _Server(uvicorn.Server):
    """Leaves signals to the gateway, which has streams to end first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Gateway:
    """Everything that runs while the gateway runs.

    Attributes:
        address: where it answers, once `run` has begun.
    """

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._registry = registry
        self._state = State(settings, registry)
        self._live = Live(self._state, settings.http_streams)
        self._follower = Follower(
            settings, READ, self._state.take, past=settings.gateway_past, records=_RECORDS
        )
        self._windows = Follower(settings, [EDGE_WINDOWS], self._take_windows)
        self._watch = Watch(settings, self._state, self._loaded, registry)
        self._is_following = False
        self.address = ""
        streams = Gauge("tidecast_gateway_streams", "Open streams of events", registry=registry)
        streams.set_function(lambda: len(self._live))

    def _take_windows(self, topic: Topic, records: Sequence[ConsumerRecord]) -> None:
        """Where they lie is all that the gateway wants of them, besides heartbeats."""
        windows, heartbeats = parted(records)
        self._state.heartbeats.take(topic, heartbeats)
        self._state.places.take(topic, windows)

    def _loaded(self) -> float | None:
        """The share read of what the topics held at the start; None before they are there."""
        return self._follower.done if self._is_following else None

    async def _follow(self) -> None:
        """Follows the topics, once they are there."""
        settings, followers = self._settings, (self._follower, self._windows)
        await await_topics(settings, [topic.name for topic in (*READ, EDGE_WINDOWS)], ROLE)
        starting.tell("taking its place on the topics")
        for follower in followers:
            await follower.start()
        self._is_following = True
        for follower in followers:
            self._state.heartbeats.expect(follower.partitions)
        partitions = Gauge(
            "tidecast_gateway_partitions", "Partitions followed", registry=self._registry
        )
        partitions.set(len(self._follower.partitions))
        starting.ready("follows the topics")
        await asyncio.gather(*(follower.follow() for follower in followers))

    async def run(self) -> None:
        """Serves until it is told to stop.

        Raises:
            BrokerError: the broker, or a topic, has not come within `broker_patience`.
            AccessError: others than this machine would reach it, and no token is set.
            ListenError: the port cannot be had.
        """
        settings, registry = self._settings, self._registry
        access(settings, "gateway")  # what may not be served is told before anything is
        bound = address.bind(settings)
        with contextlib.closing(bound):
            self.address = address.url(*bound.getsockname()[:2])
            bound.listen()  # who comes waits until the server accepts
            api = Api(self._state, self._watch, self._live)
            server = _Server(configuration(application(settings, api, registry)))
            await self._serve(server, bound)
        log.info("gateway stopped")

    async def _serve(self, server: uvicorn.Server, bound: socket.socket) -> None:
        """Until it is told to stop, or one of the tasks fails, which is then raised."""

        def stop() -> None:
            self._live.close()
            server.should_exit = True

        serving = asyncio.create_task(server.serve([bound]))
        when_told(lambda _: stop())
        background = [
            asyncio.create_task(work)
            for work in (
                self._follow(),
                self._watch.run(),
                self._live.run(),
            )
        ]
        log.info("the live page and the API are at %s", self.address)
        try:
            done, _ = await asyncio.wait(
                [serving, *background], return_when=asyncio.FIRST_COMPLETED
            )
            stop()
            await serving
            for task in done:
                task.result()
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            if self._is_following:
                await self._follower.stop()
                await self._windows.stop()


def main(settings: Settings) -> None:
    """Runs the gateway until it is told to stop."""
    telemetry.setup(settings, ROLE)
    registry = CollectorRegistry()
    telemetry.serve(registry, settings)
    asyncio.run(Gateway(settings, registry).run())
