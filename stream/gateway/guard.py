"""What stands before every answer: bounds on requests, and headers that browsers obey."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream.gateway.problems import problem
from stream.http import access
from stream.http.access import Access

# What tells nothing of the stream: the page, which asks for the token, what probes ask, the manual.
_PUBLIC = ("/", "/api/ready", "/api/openapi.json")
READING = ("GET", "HEAD")  # what every path of the gateway takes
_LONGEST_QUERY = 2_000

# The page loads nothing from elsewhere, runs no inline script, and is framed by no one.
HEADERS = access.HEADERS | {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """ASGI middleware: refuses what is too much, and adds the headers to what is answered."""

    def __init__(self, app: ASGIApp, access: Access, registry: CollectorRegistry) -> None:
        self._app = app
        self._access = access
        self._answers = Counter(
            "tidecast_gateway_answers_total", "HTTP answers", ["status"], registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Bounds a request, and adds headers to its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._answers.labels(message["status"]).inc()
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-cache")
            await send(message)

        scope = _in_origin_form(scope)
        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        path, client = scope["path"], scope.get("client")
        refusal = self._access.refusal(
            client[0] if client else "",
            headers.get("host", ""),
            headers.get("authorization", ""),
            time.monotonic(),
            public=path in _PUBLIC or path.startswith("/static/"),
        )
        if refusal is not None:
            return problem(*refusal)
        if scope["method"] not in READING:
            return None  # no path takes it, so nothing of its body is read
        if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
            return problem(413, "no body is read here", "got a body; every question is a GET")
        if len(scope["query_string"]) > _LONGEST_QUERY:
            got = len(scope["query_string"])
            return problem(
                414,
                "the query is too long",
                f"got {got:,} bytes; up to {_LONGEST_QUERY:,} are read",
            )
        return None


def _in_origin_form(scope: Scope) -> Scope:
    """The request as if its target were a path alone.

    A target may be a whole URL, which a proxy sends as it was asked; its host then counts, and not
    the header (RFC 9112, 3.2.2).
    """
    scheme, separator, rest = scope["path"].partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        return scope
    host, slash, path = rest.partition("/")
    if not host:
        return scope
    headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
    return {
        **scope,
        "path": slash + path or "/",
        "raw_path": (slash + path or "/").encode(),
        "headers": [*headers, (b"host", host.encode("latin-1", "replace"))],
    }
