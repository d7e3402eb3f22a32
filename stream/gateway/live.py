"""Server-sent events: what is new, to everyone who listens, once a tick.

What comes within a tick is told together, so that a browser hears of a busy stream twice a second
and not ten thousand times. A listener who cannot keep up is let go; browsers come back by
themselves and ask anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from stream.gateway.state import State
from stream.gateway.tables.views import Changes
from topics.errors import TidecastError

TICK = 0.5
_PING_TICKS = 30
_BEHIND = 20  # ticks that a listener may be behind
_RECORDS = 500  # of one kind in one tick; more are counted and passed over


class TooManyListenersError(TidecastError):
    """As many streams are open as may be."""


@dataclass(eq=False)
class _Listener:
    kinds: frozenset[str]
    name: str | None
    queue: asyncio.Queue[bytes | None] = field(
        default_factory=lambda: asyncio.Queue(maxsize=_BEHIND)
    )

    def put(self, block: bytes) -> bool:
        """False when it is too far behind."""
        if self.queue.full():
            return False
        self.queue.put_nowait(block)
        return True

    def end(self) -> None:
        """Makes it stop after what it has been told."""
        if self.queue.full():
            self.queue.get_nowait()
        self.queue.put_nowait(None)


class Live:
    """Tells listeners what is new in `state`.

    Args:
        limit: listeners at once.
    """

    def __init__(self, state: State, limit: int) -> None:
        self._state = state
        self._limit = limit
        self._listeners: set[_Listener] = set()
        self._records: dict[str, list[tuple[str, bytes]]] = {}
        self._skipped = 0
        self._encode = msgspec.json.Encoder().encode

    def __len__(self) -> int:
        return len(self._listeners)

    async def run(self) -> None:
        """Tells, a tick at a time, until it is cancelled."""
        ticks = 0
        while True:
            await asyncio.sleep(TICK)
            ticks += 1
            self._tell(ping=ticks % _PING_TICKS == 0)

    def close(self) -> None:
        """Ends every stream."""
        for listener in list(self._listeners):
            listener.end()

    async def listen(self, kinds: frozenset[str], name: str | None) -> AsyncIterator[bytes]:
        """The stream of one listener.

        Args:
            kinds: events wanted: "changes", or records by kind.
            name: of the one cascade or edge whose records are wanted; None for all.
        """
        listener = _Listener(kinds, name)
        self._listeners.add(listener)
        self._state.listen = self._collect
        try:
            yield b"retry: 2000\n: welcome\n\n"
            while (block := await listener.queue.get()) is not None:
                yield block
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._state.listen = None

    def admit(self) -> None:
        """Raises TooManyListenersError when as many listen as may."""
        if len(self._listeners) >= self._limit:
            raise TooManyListenersError(
                f"{self._limit} streams are open, which is the most (setting http_streams); close "
                "one, or ask again later"
            )

    def _collect(self, kind: str, name: str, record: Any) -> None:
        if any(kind in listener.kinds for listener in self._listeners):
            records = self._records.setdefault(kind, [])
            if len(records) >= _RECORDS:
                self._skipped += 1
            else:
                records.append((name, _event(kind, self._encode(record))))

    def _tell(self, ping: bool) -> None:
        news = self._state.news()
        records, self._records = self._records, {}
        skipped, self._skipped = self._skipped, 0
        told = Changes(
            sorted(news.areas),
            list(news.cascades),
            list(news.edges),
            news.more,
        )
        changes = _event("changes", self._encode(told)) if told.areas else b""
        for listener in list(self._listeners):
            block = changes if "changes" in listener.kinds else b""
            for kind in listener.kinds & records.keys():
                block += b"".join(
                    event for name, event in records[kind] if listener.name in (None, name)
                )
            if skipped and listener.kinds - {"changes"}:
                block += _event("skipped", b"%d" % skipped)
            if (block or ping) and not listener.put(block or b": still here\n\n"):
                listener.end()


def _event(kind: str, data: bytes) -> bytes:
    """One event; JSON has no line break, so one line of data is all."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)
