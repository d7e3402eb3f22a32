"""What the gateway's server lets a client do to it, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator

import pytest
import uvicorn

from stream.gateway.impatience import Impatient
from stream.gateway.server import application, configuration
from tests.stream.gateway.conftest import Parts

ASKED = b"GET /api/ready HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(Impatient, "patience", 0.5)
    parts = Parts()
    server = uvicorn.Server(configuration(application(parts.settings, parts.api, parts.registry)))
    with socket.create_server(("127.0.0.1", 0)) as bound:
        serving = asyncio.create_task(server.serve([bound]))
        yield bound.getsockname()[1]
        server.should_exit = True
        await serving


async def said(port: int, request: bytes) -> bytes:
    """All that the server says until it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    return answer


async def test_who_sends_no_whole_request_is_hung_up_on(port: int) -> None:
    began = time.monotonic()
    assert await said(port, b"") == b""
    assert await said(port, ASKED) == b""  # its headers never end
    assert time.monotonic() - began >= 1.0
    answer = await said(port, ASKED + b"\r\n" + ASKED)  # nor those of a second request
    assert answer.count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /api/ready HTTP/1.0\r\n", b"200"),
        (b"GET /api/ready HTTP/1.1\r\n", b"400"),  # without a Host
        (b"GET http://127.0.0.1/api/ready HTTP/1.1\r\nHost: evil.example\r\n", b"200"),
        (b"GET HTTP://localhost:8080?x HTTP/1.1\r\nHost: evil.example\r\n", b"200"),
        (b"GET http://evil.example/api/ready HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"400"),
        (b"GET http:///api/ready HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"404"),
        (b"POST http://127.0.0.1/api/ready HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"405"),
        (b"no request\r\n", b"400"),
    ],
)
async def test_requests_as_proxies_send_them_are_understood(
    port: int, request_line: bytes, status: bytes
) -> None:
    answer = await said(port, request_line + b"Connection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == status
    assert b"x-content-type-options: nosniff" in head.lower()
    assert f"content-length: {len(body)}".encode() in head.lower()
    if status != b"200":
        assert b"content-type: application/problem+json" in head.lower()
        assert json.loads(body)["status"] == int(status)


async def test_headers_are_bounded(port: int) -> None:
    fits = ASKED + b"X: " + b"y" * 8_000 + b"\r\nConnection: close\r\n\r\n"
    assert b"HTTP/1.1 200" in await said(port, fits)
    assert b"HTTP/1.1 400" in await said(port, ASKED + b"X: " + b"y" * 20_000)
    many = b"".join(b"X%d: y\r\n" % i for i in range(5_000))
    assert b"HTTP/1.1 400" in await said(port, ASKED + many)


async def test_a_stream_of_events_is_not_taken_for_silence(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    async with asyncio.timeout(30):
        await reader.readuntil(b"welcome\n\n")
    await asyncio.sleep(2.0)
    assert not reader.at_eof()
    writer.close()
