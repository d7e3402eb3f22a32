"""Wakes those who wait for a change of the table."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class News:
    """Told by one, waited for by many, all in one event loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        """There is something new."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Returns when there is something new, or after so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)
