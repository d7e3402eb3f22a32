"""Which checkpoints a worker takes its state from: none beyond what is committed, none of others.

`tests/system/roles/test_recovery.py` has the rest, with real roles on a real broker.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from stream.checkpoints.content import Arrays
from stream.checkpoints.recovery import Point, Recovery
from stream.settings import Settings
from topics.catalogue import SOCIAL_EVENTS


class State:
    """A number."""

    def __init__(self, number: float = 0.0, window: str = "60") -> None:
        self.number = number
        self.depends_on: Mapping[str, str] = {"window": window, "edges": "4"}

    def save(self) -> dict[str, NDArray]:
        return {"number": np.array([self.number])}

    def restore(self, arrays: Arrays) -> None:
        self.number = float(arrays["number"][0])


@pytest.fixture
def recovery(tmp_path: Path) -> Recovery:
    settings = Settings(checkpoint_url=str(tmp_path))
    return Recovery(SOCIAL_EVENTS, "group", settings, CollectorRegistry())


def failures(recovery: Recovery, reason: str) -> float:
    [metric] = recovery.metrics.failures.labels(reason).collect()
    return metric.samples[0].value


async def test_a_checkpoint_ahead_of_what_is_committed_is_put_aside(recovery: Recovery) -> None:
    await recovery.restored(0, State, 0)
    await recovery.finish([(0, State(7.0), Point(10))])
    restored = await recovery.restored(0, State, 9)
    assert (restored.state.number, restored.point) == (0.0, Point(0))
    assert failures(recovery, "ahead") == 1
    # It is not there any more, whatever is committed later.
    assert (await recovery.restored(0, State, 10)).point == Point(0)
    assert failures(recovery, "ahead") == 1


async def test_a_checkpoint_made_under_one_other_setting_is_put_aside(recovery: Recovery) -> None:
    await recovery.restored(0, State, 0)
    await recovery.finish([(0, State(7.0), Point(10))])
    restored = await recovery.restored(0, lambda: State(window="30"), 10)
    assert (restored.state.number, restored.point) == (0.0, Point(0))
    assert failures(recovery, "foreign") == 1
