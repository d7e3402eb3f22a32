"""A server that gives OAuth tokens for client credentials, on a loopback port."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote_plus


class TokenServer:
    """Gives a new token each time it is asked by a client that it knows.

    Attributes:
        life: seconds that a token is good for, by `clock`.
        requests: how often it was asked.
        redirect: sends whoever asks to this address instead.
        answer: what it says instead of a token.
    """

    def __init__(
        self,
        clients: dict[str, str],
        life: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
        sign: Callable[[str, float], str] | None = None,
    ) -> None:
        """Args:
        sign: makes a token of a client's name and the seconds it is good for; else it says nothing.
        """
        self._clients = clients
        self._sign = sign
        self._clock = clock
        self.life = life
        self.requests = 0
        self.redirect = ""
        self.answer: bytes | None = None
        self.url = ""
        self._ends: dict[str, float] = {}

    def accepts(self, token: str) -> bool:
        """Whether the token is one of this server's and has not expired."""
        return self._ends.get(token, 0.0) > self._clock()

    def give(self, authorization: str, form: dict[str, list[str]]) -> tuple[int, bytes]:
        """Status and body for a request."""
        self.requests += 1
        scheme, _, pair = authorization.partition(" ")
        name, _, secret = base64.b64decode(pair).decode().partition(":")
        known = self._clients.get(unquote_plus(name)) == unquote_plus(secret)
        if scheme != "Basic" or not known or form.get("grant_type") != ["client_credentials"]:
            return 401, b'{"error":"invalid_client"}'
        if self.answer is not None:
            return 200, self.answer
        if self._sign is not None:
            token = self._sign(name, self.life)
        else:
            token = f"token-{self.requests}-{'.'.join(form.get('scope', []))}"
        self._ends[token] = self._clock() + self.life
        return 200, json.dumps({"access_token": token, "expires_in": self.life}).encode()

    @contextlib.contextmanager
    def running(self, tls: ssl.SSLContext | None = None) -> Iterator[TokenServer]:
        """Answers until it is left."""
        given = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                if given.redirect:
                    given.requests += 1
                    self.send_response(302)
                    self.send_header("Location", given.redirect)
                    self.end_headers()
                    return
                status, answer = given.give(self.headers["authorization"], parse_qs(body))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Nothing is said."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{server.server_port}/token"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
