"""HTTP for clients that get on with it: who connects and sends no request is hung up on.

Uvicorn closes a connection that idles between two requests, and waits for ever for the first one,
or for the rest of one that was begun: a few hundred such clients would keep all others out.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from stream.http.access import HEADERS
from stream.http.problems import MEDIA, Refusal


class Impatient(H11Protocol):
    """Closes a connection on which no request has come in for `patience` to twice as long.

    Attributes:
        patience: seconds.
    """

    patience = 10.0

    def connection_made(self, transport: Any) -> None:
        """Begins to look at a connection now and then."""
        super().connection_made(transport)
        self._seen: object = None
        self._look: asyncio.TimerHandle = self.loop.call_later(self.patience, self._look_again)

    def connection_lost(self, exc: Exception | None) -> None:
        """Looks no more."""
        self._look.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Says that it is no request as every other refusal is said, and hangs up."""
        body = Refusal(400, "not a request", msg).encode()
        headers = {
            "content-type": MEDIA,
            "content-length": str(len(body)),
            "connection": "close",
            **HEADERS,
        }
        answer = h11.Response(
            status_code=400, headers=list(headers.items()), reason=HTTPStatus(400).phrase
        )
        for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()

    def _look_again(self) -> None:
        """Hangs up if what was waited for at the last look has not come."""
        waits = self.cycle is None or self.cycle.response_complete
        waited_for = (self.cycle,) if waits else None
        if waited_for is not None and waited_for == self._seen:
            self.transport.close()
            return
        self._seen = waited_for
        self._look = self.loop.call_later(self.patience, self._look_again)
