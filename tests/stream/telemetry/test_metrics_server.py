"""Metrics over real sockets: to whom, how many at once, and with which headers."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from prometheus_client import CollectorRegistry, Counter

from stream.http.access import HEADERS, AccessError
from stream.http.listening import free_port
from stream.secret import Secret
from stream.settings import Settings
from stream.telemetry import metrics_server
from tests.patience import PATIENCE, until_so

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


def connected(url: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", httpx2.URL(url).port or 0), timeout=PATIENCE)


def begun(url: str) -> socket.socket:
    """A client that has begun a request and falls silent."""
    client = connected(url)
    client.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
    return client


def said(url: str, request: bytes) -> bytes:
    """The status with which a request is answered, as it is sent."""
    with connected(url) as client:
        client.sendall(request + b"\r\n")
        return client.recv(1_000).split()[1]


def get(url: str, **given: Any) -> httpx2.Response:
    return httpx2.get(url, timeout=PATIENCE, **given)


def test_metrics_are_served_with_the_headers_and_no_leave_for_other_sites() -> None:
    with served() as url:
        answer = get(url, headers={"origin": "https://evil.example"})
        assert answer.status_code == 200 and "ships_total 3.0" in answer.text
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert "access-control-allow-origin" not in answer.headers
        assert get(url, headers={"host": "evil.example"}).status_code == 400


def test_head_is_get_without_its_body_and_no_other_method_is_taken() -> None:
    with served() as url:
        got, head = get(url), httpx2.head(url, timeout=PATIENCE)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-type", "content-length"):
            assert head.headers[name] == got.headers[name]
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
            answer = httpx2.request(method, url, content=b"x", timeout=PATIENCE)
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD"), method
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == 405
        assert httpx2.request("BREW", url, timeout=PATIENCE).status_code == 501


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
        answer = get(url)
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        shown = {"authorization": f"Bearer {TOKEN}"}
        assert "ships_total" in get(url, headers=shown).text
    with served(metrics_host="0.0.0.0", http_open=("metrics",)) as url:
        assert "ships_total" in get(url).text


def test_an_address_that_asks_too_often_is_told_so() -> None:
    with served(http_rate=1e-6) as url:  # a burst of one, and then none for days
        assert [get(url).status_code for _ in range(3)] == [200, 429, 429]


def test_silent_clients_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server._Handler, "timeout", 10 * PATIENCE)
    with served() as url, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(begun(url)) for _ in range(16)]
        with pytest.raises(httpx2.TransportError):
            get(url)
        silent[-1].close()

        def is_answered() -> bool:
            with contextlib.suppress(httpx2.TransportError):
                return bool(get(url).status_code == 200)
            return False

        until_so(is_answered, "the place of the one that went")


def test_a_silent_client_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server._Handler, "timeout", 0.1)
    with served() as url, begun(url) as silent:
        assert silent.recv(1) == b"", "it is hung up on"


def test_a_line_that_is_too_long_is_refused() -> None:
    with served() as url:
        assert said(url, b"GET /metrics?" + b"x" * 70_000) == b"414"
        assert said(url, b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 70_000) == b"431"
        assert said(url, b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n") == b"431"
