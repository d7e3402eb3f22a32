"""Metrics over real sockets: to whom, how many at once, and with which headers."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from prometheus_client import CollectorRegistry, Counter

from stream import metrics_server
from stream.access import HEADERS, AccessError
from stream.broker import free_port
from stream.secret import Secret
from stream.settings import Settings

TOKEN = "planted-token-0123456789abcdef"


@contextlib.contextmanager
def served(**changes: Any) -> Iterator[str]:
    """The address of metrics with one counter."""
    registry = CollectorRegistry()
    Counter("ships", "Seen", registry=registry).inc(3)
    server = metrics_server.start(registry, Settings(metrics_port=free_port(), **changes))
    try:
        yield f"http://127.0.0.1:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()


def said(url: str, request: bytes) -> bytes:
    """The status with which a request is answered, as it is sent."""
    with socket.create_connection(("127.0.0.1", httpx2.URL(url).port or 0), timeout=30) as client:
        client.sendall(request + b"\r\n")
        return client.recv(1_000).split()[1]


def test_metrics_are_served_with_the_headers_and_no_leave_for_other_sites() -> None:
    with served() as url:
        answer = httpx2.get(url, headers={"origin": "https://evil.example"})
        assert answer.status_code == 200 and "ships_total 3.0" in answer.text
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert "access-control-allow-origin" not in answer.headers
        assert httpx2.get(url, headers={"host": "evil.example"}).status_code == 400


def test_head_is_get_without_its_body_and_no_other_method_is_taken() -> None:
    with served() as url:
        got, head = httpx2.get(url), httpx2.head(url)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-type", "content-length"):
            assert head.headers[name] == got.headers[name]
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
            answer = httpx2.request(method, url, content=b"x")
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD"), method
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == 405
        assert httpx2.request("BREW", url).status_code == 501


def test_requests_as_proxies_send_them_are_understood() -> None:
    with served() as url:
        assert said(url, b"GET /metrics HTTP/1.0\r\n") == b"200"
        assert said(url, b"GET /metrics HTTP/1.1\r\n") == b"400"  # without a Host
        twice = b"Host: 127.0.0.1\r\nHost: 127.0.0.1\r\n"
        assert said(url, b"GET /metrics HTTP/1.1\r\n" + twice) == b"400"
        whole = b"GET http://127.0.0.1/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        assert said(url, whole) == b"200"


def test_elsewhere_the_token_is_asked_for() -> None:
    with (
        pytest.raises(AccessError, match=r"metrics_host: 0\.0\.0\.0"),
        served(metrics_host="0.0.0.0"),
    ):
        pytest.fail("it is served")
    with served(metrics_host="0.0.0.0", http_token=Secret(TOKEN)) as url:
        answer = httpx2.get(url)
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        shown = {"authorization": f"Bearer {TOKEN}"}
        assert "ships_total" in httpx2.get(url, headers=shown).text
    with served(metrics_host="0.0.0.0", http_open=("metrics",)) as url:
        assert "ships_total" in httpx2.get(url).text


def test_an_address_that_asks_too_often_is_told_so() -> None:
    with served(http_rate=0.25) as url:  # a burst of one
        assert [httpx2.get(url).status_code for _ in range(3)] == [200, 429, 429]


def test_silent_clients_are_bounded_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server._Handler, "timeout", 5.0)
    with served() as url, contextlib.ExitStack() as stack:
        port = httpx2.URL(url).port
        assert port is not None
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(16)
        ]
        for one in silent:
            one.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
        time.sleep(0.3)
        with pytest.raises(httpx2.TransportError):
            httpx2.get(url)
        silent[-1].settimeout(30)
        assert silent[-1].recv(1) == b"", "it is hung up on"
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(url).status_code == 200:
                    break
            assert time.monotonic() < deadline


def test_a_line_that_is_too_long_is_refused() -> None:
    with served() as url:
        assert said(url, b"GET /metrics?" + b"x" * 70_000) == b"414"
        assert said(url, b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 70_000) == b"431"
        assert said(url, b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n") == b"431"
