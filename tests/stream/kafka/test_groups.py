"""A group whose coordinator has just ended is asked about until another broker keeps it.

The cluster is played here: a real one would have to be caught in the seconds in between.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, NodeNotReadyError

from stream.kafka import groups
from tests.clock import Clock

MEMBERS = SimpleNamespace(groups=[(0, "tidecast.tracker", "Stable", "consumer", "", ["a", "b"])])


class Cluster:
    """Names the first broker, which is away, as coordinator for so many questions."""

    def __init__(self, questions: int, error: Exception) -> None:
        self._left = questions
        self._error = error
        self._client = self

    async def find_coordinator(self, _: str) -> int:
        self._left -= 1
        return 1 if self._left >= 0 else 2

    async def send(self, node: int, _: Any) -> Any:
        if node == 1:
            raise self._error
        return MEMBERS


@pytest.mark.parametrize("error", [NodeNotReadyError(), KafkaConnectionError()], ids=repr)
async def test_its_next_coordinator_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    clock = Clock().slept_on_by(monkeypatch, groups)
    assert await groups.members(Cluster(3, error), "tidecast.tracker") == 2
    assert len(clock.slept) == 3


async def test_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock().slept_on_by(monkeypatch, groups)
    with pytest.raises(groups.GroupCoordinatorNotAvailableError, match="broker 1, which keeps"):
        await groups.members(Cluster(10_000, NodeNotReadyError()), "tidecast.tracker")
