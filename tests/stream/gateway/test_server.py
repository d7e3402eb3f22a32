"""What the gateway's server lets a client do to it, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn

from stream.gateway.impatience import Impatient
from stream.gateway.server import application, configuration
from tests.patience import PATIENCE, until
from tests.stream.gateway.conftest import Parts

ASKED = b"GET /api/ready HTTP/1.1\r\nHost: 127.0.0.1\r\n"


class Server:
    """A server that is asked at a port, and loses its patience when the test says so."""

    def __init__(self, parts: Parts) -> None:
        app = application(parts.settings, parts.api, parts.registry)
        self.live = parts.live
        self.uvicorn = uvicorn.Server(configuration(app))
        self.port = 0

    async def look_again(self, connections: int = 1) -> None:
        """Has it look at its connections, once there are so many."""
        held = self.uvicorn.server_state.connections
        await until(lambda: len(held) == connections, f"{connections} connections")
        for connection in list(held):
            connection._look.cancel()
            connection._look_again()

    async def said(self, request: bytes, looks: int = 0) -> bytes:
        """All that it says until it hangs up, at the latest after so many looks."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        for _ in range(looks):
            await self.look_again()
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        writer.close()
        await until(lambda: not self.uvicorn.server_state.connections, "the connection's end")
        return answer


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr(Impatient, "patience", 10 * PATIENCE)
    server = Server(Parts())
    with socket.create_server(("127.0.0.1", 0)) as bound:
        server.port = bound.getsockname()[1]
        serving = asyncio.create_task(server.uvicorn.serve([bound]))
        yield server
        server.uvicorn.should_exit = True
        await serving


async def test_who_sends_no_whole_request_is_hung_up_on(server: Server) -> None:
    assert await server.said(b"", looks=2) == b""
    assert await server.said(ASKED, looks=2) == b""  # its headers never end
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(ASKED + b"\r\n" + ASKED)  # nor those of a second request
    async with asyncio.timeout(PATIENCE):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200")
        await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
        for _ in range(2):
            await server.look_again()
        assert await reader.read() == b""
    writer.close()


async def test_at_the_first_look_nobody_is_hung_up_on(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(ASKED)
    await server.look_again()
    writer.write(b"Connection: close\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        assert b"HTTP/1.1 200" in await reader.read()
    writer.close()


async def test_it_looks_by_itself(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Impatient, "patience", 0.01)
    assert await server.said(b"") == b""


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
    server: Server, request_line: bytes, status: bytes
) -> None:
    answer = await server.said(request_line + b"Connection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == status
    assert b"x-content-type-options: nosniff" in head.lower()
    assert f"content-length: {len(body)}".encode() in head.lower()
    if status != b"200":
        assert b"content-type: application/problem+json" in head.lower()
        assert json.loads(body)["status"] == int(status)


async def test_headers_are_bounded(server: Server) -> None:
    fits = ASKED + b"X: " + b"y" * 8_000 + b"\r\nConnection: close\r\n\r\n"
    assert b"HTTP/1.1 200" in await server.said(fits)
    assert b"HTTP/1.1 400" in await server.said(ASKED + b"X: " + b"y" * 20_000)
    many = b"".join(b"X%d: y\r\n" % i for i in range(5_000))
    assert b"HTTP/1.1 400" in await server.said(ASKED + many)


async def test_a_stream_of_events_is_not_taken_for_silence(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        await reader.readuntil(b"welcome\n\n")
        for _ in range(4):
            await server.look_again()
        server.live._tell(ping=True)
        await reader.readuntil(b"still here\n\n")
    writer.close()
