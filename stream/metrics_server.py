"""Serves /metrics of a role: a thread that answers whatever the role's event loop is doing.

As `prometheus_client.start_http_server`, and beyond it: a token, names and rates (`stream.access`),
a bound on requests at once, and on how long one may take to be sent.
"""

from __future__ import annotations

import http
import logging
import socket
import threading
import time
from collections.abc import Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from stream.access import HEADERS, access
from stream.settings import Settings

log = logging.getLogger(__name__)

_AT_ONCE = 16
_PATIENCE = 10.0  # seconds that a client may be silent in the middle of its request


class _Handler(WSGIRequestHandler):
    timeout = _PATIENCE

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)

    def address_string(self) -> str:
        return str(self.client_address[0])  # its name is nobody's business


class _Server(ThreadingMixIn, WSGIServer):
    """A thread a request, of which there are so many at most; beyond them it hangs up."""

    daemon_threads = True

    def __init__(self, *args: Any, **options: Any) -> None:
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__(*args, **options)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return self._free.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a request for metrics ended early", exc_info=True)


def start(registry: CollectorRegistry, settings: Settings) -> WSGIServer:
    """Serves the registry at `metrics_host` and `metrics_port` from now on.

    Raises:
        AccessError: others than this machine would reach it, and no token is set.
        OSError: the port cannot be had.
    """
    guard = access(settings, "metrics")
    exposed = make_wsgi_app(registry)

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        refusal = guard.refusal(
            environ["REMOTE_ADDR"],
            environ.get("HTTP_HOST", ""),
            environ.get("HTTP_AUTHORIZATION", ""),
            time.monotonic(),
        )
        if refusal is None:

            def begin(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
                return start_response(status, [*headers, *HEADERS.items()], *error)

            return exposed(environ, begin)
        status = http.HTTPStatus(refusal.status)
        headers = {"content-type": "text/plain; charset=utf-8", **HEADERS, **refusal.headers}
        start_response(f"{status.value} {status.phrase}", list(headers.items()))
        return [f"{refusal.title}: {refusal.detail}\n".encode()]

    server = make_server(
        settings.metrics_host,
        settings.metrics_port,
        application,
        _of_family(settings.metrics_host),
        _Handler,
    )
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


def _of_family(host: str) -> type[_Server]:
    class Server(_Server):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    return Server
