"""Both ends of an edge server in tests: an origin that counts, and clients."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

from stream.http.listening import free_port
from tests.patience import PATIENCE


class Port(Protocol):
    """Whatever listens on loopback."""

    port: int


class Origin:
    """Answers every GET with as many bytes, and counts.

    Attributes:
        fetches: of each target.
        delay: seconds before an answer.
        together: targets that are answered once so many of them are asked for at once.
    """

    def __init__(self, size: int) -> None:
        self.port = free_port()
        self.fetches: Counter[str] = Counter()
        self.delay = 0.0
        self.together: dict[str, int] = {}
        self._answer = (
            b"HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Type: video/mp4\r\n"
            b"Content-Length: %d\r\n\r\n" % size + b"x" * size
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(PATIENCE)

    @property
    def total(self) -> int:
        return sum(self.fetches.values())

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ", 2)[1].decode()
                self.fetches[target] += 1
                while self.fetches[target] < self.together.get(target, 0):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(self._answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the server closed the connection
        finally:
            writer.close()

    def close(self) -> None:
        """Stops listening, and drops what is connected."""

        async def end() -> None:
            self._server.close()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


class Client:
    """One connection to a server, opened anew where the server has closed it."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def get(self, target: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body."""
        self._connection.request("GET", target)
        answer = self._connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def close(self) -> None:
        self._connection.close()


class Reply(NamedTuple):
    """What a client was answered, and under which host it asked."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    host: str


def ask(
    server: Port,
    target: str,
    *,
    method: str = "GET",
    host: str = "www.example",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Reply:
    """One request on a connection of its own, its target to the letter."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    fields = {"Host": host} | dict(headers or {})
    if body is not None:
        fields["Content-Length"] = str(len(body))
    for name, value in fields.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    reply = Reply(answer.status, answer.headers, answer.read(), host)
    connection.close()
    return reply


def at_once(port: int, target: str, count: int, expected: int = 200) -> float:
    """Asks for the same on so many connections at once; seconds until all have answers."""

    def ask(_: int) -> int:
        client = Client(port)
        status = client.get(target)[0]
        client.close()
        return status

    started = time.monotonic()
    with ThreadPoolExecutor(count) as threads:
        statuses = list(threads.map(ask, range(count)))
    assert statuses == [expected] * count
    return time.monotonic() - started
