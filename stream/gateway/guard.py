"""What stands before every answer: bounds on requests, and headers that browsers obey."""

from __future__ import annotations

import math
import time
from collections import OrderedDict

from prometheus_client import CollectorRegistry, Counter
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream.gateway.problems import problem

_BURST_SECONDS = 4.0
_CLIENTS = 10_000  # whose rate is remembered; the one silent longest is forgotten
_LONGEST_QUERY = 2_000

# The page loads nothing from elsewhere, runs no inline script, and is framed by no one.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Rates:
    """A bucket of requests for each client address.

    Args:
        rate: requests a second; 0 lets everything through.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._full = max(1.0, rate * _BURST_SECONDS)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, now: float) -> float:
        """Seconds until the client may ask (0: it just did), by a clock in seconds."""
        if self._rate <= 0:
            return 0.0
        left, then = self._buckets.get(client, (self._full, now))
        left = min(self._full, left + (now - then) * self._rate)
        allowed = left >= 1.0
        self._buckets[client] = (left - 1.0 if allowed else left, now)
        self._buckets.move_to_end(client)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1.0 - left) / self._rate


class Guard:
    """ASGI middleware: refuses what is too much, and adds the headers to what is answered."""

    def __init__(self, app: ASGIApp, rate: float, registry: CollectorRegistry) -> None:
        self._app = app
        self._rates = Rates(rate)
        self._answers = Counter(
            "tidecast_gateway_answers_total", "HTTP answers", ["status"], registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        names = {name for name, _ in scope["headers"]}
        if b"transfer-encoding" in names or (
            dict(scope["headers"]).get(b"content-length", b"0") != b"0"
        ):
            return problem(413, "no body is read here", "got a body; every question is a GET")
        if len(scope["query_string"]) > _LONGEST_QUERY:
            got = len(scope["query_string"])
            return problem(
                414,
                "the query is too long",
                f"got {got:,} bytes; up to {_LONGEST_QUERY:,} are read",
            )
        client = scope.get("client")
        wait = self._rates.wait(client[0] if client else "", time.monotonic())
        if wait > 0:
            return problem(
                429,
                "too many requests",
                f"ask again in {wait:.2f} s; /api/stream tells what is new without asking",
                {"retry-after": str(math.ceil(wait))},
            )
        return None
