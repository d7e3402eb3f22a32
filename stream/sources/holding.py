"""Holds a source at an event time, so that somebody can look, and steps it on.

    sent ── hold ──► held, until a word ── step ──► held ── step ──► …

What is forecast at that time stays in force while the source is held, for the clock of a stream is
that of its events.
"""

from __future__ import annotations

import asyncio
import math
import sys
import threading
from collections.abc import Callable
from typing import TextIO

from stream.sources.messages import SourceError


class Hold:
    """How far sources may go, in seconds of event time after the first message of each.

    Attributes:
        reach: so far.
        held_at: event time at which a source is held now, unix seconds; None while none is.

    Args:
        after: seconds of event time after which they are held first.
        step: how much further they go at each word; None: to the end.

    Raises:
        SourceError: one of the two is below 0, or the step is 0.
    """

    def __init__(self, after: float, step: float | None = None) -> None:
        if after < 0 or (step is not None and step <= 0):
            raise SourceError(
                f"a hold after {after:g} s with steps of {step} s; expected 0 s or more, and steps "
                "above 0 s"
            )
        self.reach = after
        self.held_at: float | None = None
        self._step = step
        self._stepped = asyncio.Event()

    def go_on(self) -> None:
        """The word: lets them go on by a step. Before the first is held it changes nothing."""
        if self.held_at is None:
            return
        self.reach = math.inf if self._step is None else self.reach + self._step
        self.held_at = None
        self._stepped.set()
        self._stepped = asyncio.Event()

    async def wait(self, first: float, event: float) -> None:
        """Returns once a message may be sent.

        Args:
            first: event time of the source's first message.
            event: of this one.
        """
        while event - first > self.reach:
            self.held_at = first + self.reach
            await self._stepped.wait()

    def __str__(self) -> str:
        """What the word does."""
        return "Enter goes on" + ("" if self._step is None else f" for {self._step:g} s")


def at_each_line(call: Callable[[], object], source: TextIO | None = None) -> None:
    """Has the running event loop call `call` with each line of the standard input, till its end."""
    loop = asyncio.get_running_loop()
    lines = source or sys.stdin

    def read() -> None:
        for _ in lines:
            try:
                loop.call_soon_threadsafe(call)
            except RuntimeError:  # the loop is closed: there is nobody left to tell
                return

    # A thread, for an event loop cannot wait for a file; it ends with the process.
    threading.Thread(target=read, name="standard input", daemon=True).start()
