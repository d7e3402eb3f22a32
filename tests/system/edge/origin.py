"""An origin that notes what it was asked, and answers as a test told it to."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

SIZE = 100_000
TAG = '"1"'


class Asked(NamedTuple):
    """A request that came in; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    sent: int  # bytes of the answer's body


class Answer(NamedTuple):
    """What the origin says to whoever asks for a target."""

    status: int = 200
    headers: dict[str, str] = {}  # noqa: RUF012 - nobody changes it
    delay: float = 0.0  # seconds
    size: int = SIZE
    pause: float = 0.0  # seconds between its headers and its body


class TellingOrigin:
    """Answers with as many bytes that begin with the request's host and target.

    Takes ranges, HEAD, and `If-None-Match`; each target has the entity tag `"1"`.

    Attributes:
        port: where it listens.
        asked: the requests so far.
        most_at_once: that were being answered.
        answers: by target; all others get `Answer()`.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answers: dict[str, Answer] = {}
        self.most_at_once = 0
        self._answering = 0
        self._lock = threading.Lock()
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None: ...

            def do_GET(self) -> None:
                with origin._counted():
                    origin._answer(self)

            do_HEAD = do_POST = do_PUT = do_GET

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._answering += 1
            self.most_at_once = max(self.most_at_once, self._answering)
        try:
            yield
        finally:
            with self._lock:
                self._answering -= 1

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        target = request.requestline.split(" ")[1]
        headers = {name.lower(): value for name, value in request.headers.items()}
        request.rfile.read(int(headers.get("content-length", 0)))
        told = self.answers.get(target, Answer())
        time.sleep(told.delay)
        scheme = headers.get("x-forwarded-proto", "")
        body = f"{scheme} {headers.get('host')} {target} ".encode().ljust(told.size, b"x")
        fields = {"ETag": TAG, "Accept-Ranges": "bytes"} | told.headers
        status = told.status
        if status == 200 and headers.get("if-none-match") == TAG:
            status, body = 304, b""
        elif status == 200 and "range" in headers:
            first, _, last = headers["range"].removeprefix("bytes=").partition("-")
            part = slice(int(first), min(int(last or told.size), told.size - 1) + 1)
            fields["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{told.size}"
            status, body = 206, body[part]
        request.send_response(status)
        for name, value in fields.items():
            request.send_header(name, value)
        if status != 304:
            request.send_header("Content-Length", str(len(body)))
        if request.command == "HEAD":
            body = b""
        # Before anything is sent: who has the answer may look at once.
        self.asked.append(Asked(request.command, target, headers, len(body)))
        request.end_headers()
        time.sleep(told.pause)
        try:
            request.wfile.write(body)
        except ConnectionError:
            request.close_connection = True  # the server wants no more of it

    def forget(self) -> None:
        """Knows of no request, and answers all alike."""
        self.asked.clear()
        self.answers.clear()
        self.most_at_once = 0

    def of(self, target: str) -> list[Asked]:
        """The requests for a target so far."""
        return [asked for asked in list(self.asked) if asked.target == target]

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
