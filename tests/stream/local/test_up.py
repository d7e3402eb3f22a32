"""When a run gives up on what is left: once nothing moves any more, however long that takes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from stream.kafka.progress import Position
from stream.local import up
from stream.settings import Settings
from tests.clock import Clock


@pytest.fixture
def run(tmp_path: Path) -> Any:
    plan = up.Plan(traffic=tuple, kafka=None, speed=None, seconds=None, folder=tmp_path)
    run = up.Run(plan, Settings(), Console())

    async def caught_up() -> bool:
        return True

    run._observer = SimpleNamespace(caught_up=caught_up)
    return run


@pytest.mark.parametrize(("messages", "moves", "drained"), [(5_000, True, True), (2, False, False)])
async def test_it_waits_for_as_long_as_roles_work_something_off(
    run: Any, monkeypatch: pytest.MonkeyPatch, messages: int, moves: bool, drained: bool
) -> None:
    clock = Clock().slept_on_by(monkeypatch, up)

    class Slow:
        """In the place of the broker: a message is worked off in the time between two looks."""

        left = messages

        async def drained(self) -> bool:
            self.left -= moves
            run._status.positions = {"tracker": Position(messages - self.left, self.left)}
            return self.left == 0

        async def of(self, role: str) -> Position:
            return run._status.positions["tracker"]

    run._progress = Slow()
    began = clock.now
    assert await run._drain() is drained
    assert clock.now >= began + up._STILL_SECONDS
