"""Objects that are restored are what was saved, and what is no state is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from stream.checkpoints.content import decode, encode
from stream.checkpoints.object_state import ObjectStateError, restore, save
from stream.settings import Settings


class Network:
    """What never changes says so itself."""

    FIXED = True


class Part:
    def __init__(self) -> None:
        self.numbers = np.zeros((2, 0))
        self.count = 0


class Whole:
    """One of each kind that there is."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.network = Network()
        self.part = Part()
        self.parts = (self.part, Part())
        self.codes: dict[str, int] = {}
        self.seen: tuple[float, int | None] = (-1.0, None)
        self.rows: list[np.ndarray] = []
        self.memory = [np.zeros((0, 3), np.float32)]
        self.scalar = np.int64(0)


def filled() -> Whole:
    whole = Whole(Settings(partitions=2))
    whole.part.numbers = np.arange(6.0).reshape(3, 2).T  # not as it lies in memory
    whole.part.count = 7
    whole.parts[1].count = 8
    whole.codes = {"é": 0, "b": 1}
    whole.seen = (float("-inf"), 3)
    whole.rows = [np.arange(3, dtype=np.int32), np.zeros(0, np.int8)]
    whole.memory = [np.ones((2, 3), np.float32)]
    whole.scalar = np.int64(9)
    return whole


def through_a_file(thing: Any) -> dict[str, np.ndarray]:
    return decode(b"".join(encode(save(thing), {}))).arrays


def test_each_kind_comes_back() -> None:
    before, after = filled(), Whole(Settings(partitions=5))
    network = after.network
    restore(after, through_a_file(before))
    assert after.part.numbers.tolist() == before.part.numbers.tolist()
    assert (after.part.count, after.parts[1].count) == (7, 8)
    assert after.parts[0] is after.part, "one object stays one"
    assert list(after.codes.items()) == [("é", 0), ("b", 1)]
    assert after.seen == (float("-inf"), 3)
    assert [(row.dtype, row.tolist()) for row in after.rows] == [
        (np.int32, [0, 1, 2]), (np.int8, []),
    ]  # fmt: skip
    np.testing.assert_array_equal(after.memory[0], np.ones((2, 3), np.float32))
    assert isinstance(after.scalar, np.int64) and after.scalar == 9
    assert after.settings.partitions == 5 and after.network is network, "left as they were made"


def test_what_is_restored_is_its_own() -> None:
    before, after = filled(), Whole(Settings())
    saved = save(before)
    restore(after, saved)
    after.part.numbers[:] = -1
    after.memory[0][:] = 0
    again = Whole(Settings())
    restore(again, saved)
    assert again.part.numbers[0, 1] == 2
    assert again.memory[0].sum() == 6


@pytest.mark.parametrize("value", [{"a": [1]}, {1, 2}, object()])
def test_what_is_no_state_is_refused_by_name(value: object) -> None:
    part = Part()
    part.count = value  # type: ignore[assignment]
    with pytest.raises(ObjectStateError, match=r"Part\.count"):
        save(part)


@dataclass
class Other:
    numbers: list[int] = field(default_factory=list)


def test_the_state_of_another_class_is_refused() -> None:
    with pytest.raises(ObjectStateError, match="got the state of a Part"):
        restore(Other(), save(Part()))
