"""A listener with TLS and SASL in front of a broker that has neither.

It speaks Kafka's frames: what comes before authentication it answers itself (SaslHandshake,
SaslAuthenticate; SCRAM by `scramp`) or passes on (ApiVersions), anything else ends the connection,
as on Kafka. After it, frames go both ways as they are, except that the broker's address in
Metadata and FindCoordinator answers becomes the front's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import scramp
from aiokafka.protocol.admin import (
    ApiVersionRequest_v0,
    SaslAuthenticateResponse_v1,
    SaslHandShakeRequest_v0,
    SaslHandShakeResponse_v1,
)

PRODUCE, FETCH, METADATA, FIND_COORDINATOR, HEARTBEAT, AUTHENTICATE = 0, 1, 3, 10, 12, 36
_HANDSHAKE, _API_VERSIONS = SaslHandShakeRequest_v0.API_KEY, ApiVersionRequest_v0.API_KEY
_LONGEST_FRAME = 100 << 20  # as Kafka; the first bytes of TLS read as a length are more
_REFUSED, _UNKNOWN_MECHANISM = 58, 33


class RefusedError(Exception):
    """The client is not who it says."""


class Front:
    """Listens on a loopback port, in a thread of its own.

    Attributes:
        address: host:port of it.
        authenticated: by which mechanism clients came in, in order.
        asked: how many requests came in, by their key in the protocol.
        takes_records: while it is unset, what is published stays here, and its answer out.

    Args:
        broker: host:port of the broker behind.
        tls: None for plain text.
        users: names and passwords; empty together with `accepts` asks for no SASL.
        mechanisms: offered.
        accepts: says whether a bearer token is good.
    """

    def __init__(
        self,
        broker: str,
        tls: ssl.SSLContext | None = None,
        users: dict[str, str] | None = None,
        mechanisms: tuple[str, ...] = ("SCRAM-SHA-256", "SCRAM-SHA-512"),
        accepts: Callable[[str], bool] | None = None,
    ) -> None:
        host, _, port = broker.rpartition(":")
        self._behind = host, int(port)
        self._tls = tls
        self._users = users or {}
        self._mechanisms = mechanisms
        self._accepts = accepts
        self._sasl = bool(users or accepts)
        self.authenticated: list[str] = []
        self.asked: Counter[int] = Counter()
        self.takes_records = threading.Event()
        self.takes_records.set()
        self.address = ""
        self._port = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[Front]:
        """Listens until it is left."""
        ready, loop = threading.Event(), asyncio.new_event_loop()
        over = asyncio.Event()

        async def serve() -> None:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
            self._port = server.sockets[0].getsockname()[1]
            self.address = f"127.0.0.1:{self._port}"
            ready.set()
            await over.wait()
            server.close()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        # What a client that was refused leaves behind is no news here.
        loop.set_exception_handler(lambda *_: None)
        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
        thread.start()
        ready.wait()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join()
            loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, ahead = await asyncio.open_connection(*self._behind)
        asked: dict[int, int] = {}
        back = asyncio.create_task(self._pass_back(behind, writer, asked))
        try:
            if self._sasl:
                await self._authenticate(reader, writer, ahead, asked)
            while True:
                frame = await _frame(reader)
                key = struct.unpack_from(">h", frame)[0]
                self.asked[key] += 1
                if key == PRODUCE:
                    await asyncio.to_thread(self.takes_records.wait)
                await _forward(frame, ahead, asked)
        except (asyncio.IncompleteReadError, OSError, RefusedError):
            return  # the client has gone, or may not come in
        finally:
            back.cancel()
            for end in (ahead, writer):
                end.close()

    async def _authenticate(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ahead: asyncio.StreamWriter,
        asked: dict[int, int],
    ) -> None:
        steps: Callable[[bytes], bytes | None] | None = None
        mechanism = ""
        while True:
            frame = await _frame(reader)
            key, _, correlation, length = struct.unpack_from(">hhih", frame)
            body = frame[10 + max(0, length) :]
            if key == _API_VERSIONS:
                await _forward(frame, ahead, asked)
            elif key == _HANDSHAKE:
                mechanism = SaslHandShakeRequest_v0.decode(body).mechanism
                known = mechanism in self._mechanisms
                answer = SaslHandShakeResponse_v1(
                    0 if known else _UNKNOWN_MECHANISM, list(self._mechanisms)
                )
                _answer(writer, correlation, answer.encode())
                if known:
                    steps = self._steps(mechanism)
            elif key == AUTHENTICATE and steps is not None:
                length = struct.unpack_from(">i", body)[0]
                try:
                    told = steps(body[4 : 4 + length])
                except (scramp.ScramException, RefusedError) as error:
                    refused = SaslAuthenticateResponse_v1(_REFUSED, f"refused: {error}", b"", 0)
                    _answer(writer, correlation, refused.encode())
                    await writer.drain()
                    raise RefusedError from error
                done = told is None or told.startswith(b"v=")
                said = SaslAuthenticateResponse_v1(0, None, told or b"", 0)
                _answer(writer, correlation, said.encode())
                if done:
                    self.authenticated.append(mechanism)
                    return
            else:
                raise RefusedError(f"request {key} before authentication")

    def _steps(self, mechanism: str) -> Callable[[bytes], bytes | None]:
        """What the server's side answers; None or a SCRAM verdict ends it."""
        if mechanism == "OAUTHBEARER":
            return self._take_token
        if mechanism == "PLAIN":
            return self._take_password
        rules = scramp.ScramMechanism(mechanism)
        server = rules.make_server(lambda name: rules.make_auth_info(self._password(name)))

        def step(said: bytes) -> bytes:
            text = said.decode()
            if not text.startswith("c="):
                server.set_client_first(text)
                return server.get_server_first().encode()
            server.set_client_final(text)
            return server.get_server_final().encode()

        return step

    def _password(self, name: str) -> str:
        if name not in self._users:
            raise RefusedError("nobody of that name")
        return self._users[name]

    def _take_password(self, said: bytes) -> None:
        _, name, password = said.decode().split("\0")
        if self._password(name) != password:
            raise RefusedError("another password")

    def _take_token(self, said: bytes) -> bytes | None:
        """As Kafka: a bad token is told in the answer, and what follows ends the connection."""
        token = said.decode().split("auth=Bearer ")[1].split("\x01")[0]
        if self._accepts is None or not self._accepts(token):
            return b'{"status":"invalid_token"}'
        return None

    async def _pass_back(
        self, behind: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: dict[int, int]
    ) -> None:
        host, port = self._behind
        theirs, ours = (host.encode() + struct.pack(">i", number) for number in (port, self._port))
        while True:
            frame = await _frame(behind)
            if asked.pop(struct.unpack_from(">i", frame)[0], None) in (METADATA, FIND_COORDINATOR):
                frame = frame.replace(theirs, ours)
            writer.write(struct.pack(">i", len(frame)) + frame)
            await writer.drain()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack(">i", await reader.readexactly(4))
    if not 0 <= length <= _LONGEST_FRAME:
        raise RefusedError(f"a frame of {length} bytes")
    return await reader.readexactly(length)


async def _forward(frame: bytes, ahead: asyncio.StreamWriter, asked: dict[int, int]) -> None:
    key, _, correlation = struct.unpack_from(">hhi", frame)
    asked[correlation] = key
    ahead.write(struct.pack(">i", len(frame)) + frame)
    await ahead.drain()


def _answer(writer: asyncio.StreamWriter, correlation: int, body: bytes) -> None:
    frame = struct.pack(">i", correlation) + body
    writer.write(struct.pack(">i", len(frame)) + frame)
