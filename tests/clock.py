"""A clock that only its test moves, in place of the machine's."""

from __future__ import annotations

import asyncio
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class Clock:
    """Stands still but for what is slept on it, which takes no time.

    Attributes:
        now: seconds; of unix time, where the code asks for that.
        slept: how long each sleep was, in order.
    """

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def read_by(self, monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> Clock:
        """Has modules read this clock and no other."""
        shown = dict.fromkeys(("time", "monotonic", "perf_counter"), lambda: self.now)
        for module in modules:
            monkeypatch.setattr(module, "time", _Changed(module.time, **shown))
        return self

    def slept_on_by(self, monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> Clock:
        """Has modules read this clock and sleep on it, which moves it on."""
        for module in modules:
            monkeypatch.setattr(module, "asyncio", _Changed(asyncio, sleep=self._sleep))
        return self.read_by(monkeypatch, *modules)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)  # others run, as they would


class _Changed(SimpleNamespace):
    """A module with some of its names changed."""

    def __init__(self, module: ModuleType, **changes: Any) -> None:
        super().__init__(**{**vars(module), **changes})
