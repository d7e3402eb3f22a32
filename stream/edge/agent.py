"""The edge agent: one process beside one cache.

    follower    cache.decisions -> table
    service     table -> whoever asks on the Unix socket and the port
    prefetch    objects to be fetched ahead, through the cache (with `edge_server`)
    varnish     table -> Varnish (with `edge_varnish`)

All of it shares one event loop and one table. The agent is never in the way of a request: the
cache has its own copy of what it needs, and does without once it has not heard of the agent for
`edge_lease`.

    EdgeError(TidecastError)    no edge is named, or a socket cannot be opened; says what to do
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry

from stream.edge.follower import DecisionFollower
from stream.edge.metrics import Metrics
from stream.edge.news import News
from stream.edge.prefetch import Prefetcher
from stream.edge.service import Service
from stream.edge.table import EdgeTable
from stream.edge.varnish import VarnishFill
from stream.http.access import access
from stream.processes.stopping import when_told
from stream.settings import Settings
from stream.telemetry import setup as telemetry
from topics.errors import TidecastError

log = logging.getLogger(__name__)

_BACKLOG = 256
_IDLE_SECONDS = 30.0  # a connection without a request is closed


class EdgeError(TidecastError):
    """No edge is named, or a socket cannot be opened."""


class Part(Protocol):
    """What runs for as long as the agent does."""

    async def run(self) -> None:
        """Runs until it is cancelled."""


def unix_socket(path: Path, mode: int) -> socket.socket:
    """A listening Unix socket with the given permissions; one left by a dead agent is replaced.

    Raises:
        EdgeError: another agent listens there, or the path cannot be used.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear(path)
        previous = os.umask(0o777)  # nobody may connect before the mode is set
        try:
            listener.bind(str(path))
        finally:
            os.umask(previous)
        path.chmod(mode)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise EdgeError(
            f"edge_socket: {path} cannot be opened ({error}); name a path of at most 107 "
            "characters in a folder that the agent may write to, or none"
        ) from error
    return listener


def _clear(path: Path) -> None:
    """Removes the socket of an agent that is no more."""
    if not path.is_socket():
        if path.exists():
            raise OSError(
                errno.EEXIST, f"it is a file of mode {stat.filemode(path.stat().st_mode)}"
            )
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, "another agent listens there")


def tcp_socket(host: str, port: int) -> socket.socket:
    """A listening TCP socket.

    Raises:
        EdgeError: the address is taken, or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise EdgeError(
            f"edge_host, edge_port: {host} port {port} cannot be opened ({error}); name an address "
            "of this machine and a port that is free, or 0 for none"
        ) from error


async def serve(settings: Settings) -> None:
    """Runs the agent until it is told to stop.

    Raises:
        EdgeError: no edge is named, or a socket cannot be opened.
        AccessError: others than this machine would reach the port, and no token is set.
    """
    if not settings.edge:
        raise EdgeError("no edge is named; name the one beside this agent with --edge")
    if settings.edge_port:
        access(settings, "edge")  # what may not be served is told before anything is
    listeners = _listeners(settings)
    registry = CollectorRegistry()
    table = EdgeTable(settings, life=f"{time.time_ns():x}")
    metrics, news = Metrics(registry, table), News()
    telemetry.serve(registry, settings)

    parts: list[Part] = [DecisionFollower(settings, table, metrics, news)]
    fill = VarnishFill(settings, table, metrics, news) if settings.edge_varnish else None
    if fill is not None:
        parts.append(fill)
    if settings.edge_server:
        parts.append(Prefetcher(settings, table, metrics, news))

    application = Service(settings, table, metrics, news, fill).application()
    runner = web.AppRunner(application, access_log=None, keepalive_timeout=_IDLE_SECONDS)
    await runner.setup()
    try:
        for listener in listeners:
            await web.SockSite(runner, listener, backlog=_BACKLOG).start()
        await _until_stopped(parts)
    finally:
        await runner.cleanup()


def _listeners(settings: Settings) -> list[socket.socket]:
    listeners = []
    if settings.edge_socket:
        mode = int(settings.edge_socket_mode, 8)
        listeners.append(unix_socket(Path(settings.edge_socket), mode))
    if settings.edge_port:
        listeners.append(tcp_socket(settings.edge_host, settings.edge_port))
    if not listeners:
        raise EdgeError("nobody could ask this agent; set edge_socket, edge_port or both")
    return listeners


async def _until_stopped(parts: Sequence[Part]) -> None:
    """Runs the parts until a signal says to stop, or one of them fails."""
    stop = asyncio.Event()
    when_told(lambda _: stop.set())
    tasks = [asyncio.create_task(part.run()) for part in parts]
    stopping = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # raises what ended a part
    finally:
        for task in [*tasks, stopping]:
            task.cancel()
        await asyncio.gather(*tasks, stopping, return_exceptions=True)


def main(settings: Settings) -> None:
    """Runs the agent until it is told to stop."""
    telemetry.setup(settings, "edge-agent")
    asyncio.run(serve(settings))
