"""Serves /metrics of a role: a thread that answers whatever the role's event loop is doing.

As `prometheus_client.start_http_server`, and beyond it: a token, names and rates
(`stream.http.access`), HEAD, a bound on requests at once, and on how long one may take to be sent.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from stream.http import listening
from stream.http.access import HEADERS, Access, access
from stream.http.problems import MEDIA, Refusal, wrong_method
from stream.settings import Settings

log = logging.getLogger(__name__)

_READING = ("GET", "HEAD")
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
        ListenError: the port cannot be had.
    """
    application = _application(registry, access(settings, "metrics"))
    host, port = settings.metrics_host, settings.metrics_port
    with listening.named(host, port, "the settings metrics_host and metrics_port (0: none)"):
        server = make_server(host, port, application, _of_family(host), _Handler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


def _application(registry: CollectorRegistry, guard: Access) -> Callable[..., Iterable[bytes]]:
    """The metrics, and why they are refused, by WSGI."""
    exposed = make_wsgi_app(registry)

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        refusal = _malformed(environ) or guard.refusal(
            environ["REMOTE_ADDR"],
            environ.get("HTTP_HOST", ""),
            environ.get("HTTP_AUTHORIZATION", ""),
            time.monotonic(),
        )
        if refusal is None and method not in _READING:
            refusal = wrong_method(method, environ["PATH_INFO"], _READING)
        if refusal is None:
            began: list[Any] = []
            found = exposed({**environ, "REQUEST_METHOD": "GET"}, lambda *told: began.extend(told))
            (status, headers), body = began, b"".join(found)
        else:
            phrase = HTTPStatus(refusal.status).phrase
            status, body = f"{refusal.status} {phrase}", refusal.encode()
            headers = [("Content-Type", MEDIA), *refusal.headers.items()]
        length = ("Content-Length", str(len(body)))
        start_response(status, [*headers, length, *HEADERS.items()])
        return [] if method == "HEAD" else [body]

    return application


def _malformed(environ: dict[str, Any]) -> Refusal | None:
    """Why it is no request: HTTP/1.1 has one name of the server in each (RFC 9112, 3.2)."""
    host = environ.get("HTTP_HOST")
    is_missing = host is None and environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    if is_missing or "," in (host or ""):
        return Refusal(400, "not a request", f"Host: got {host or 'none'}; expected one name")
    return None


def _of_family(host: str) -> type[_Server]:
    class Server(_Server):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    return Server
