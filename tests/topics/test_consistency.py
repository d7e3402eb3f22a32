"""What contradicts itself in a record is said with what was got."""

from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest

from topics import consistency
from topics.records import EdgeWindow


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"count": b"1234"}, r"count, size: got \(4, 16\) bytes"),
        ({"order": b"123"}, "order: got 3 bytes"),
        ({"order": np.array([0, 2], "<i4").tobytes()}, "order: got 0 to 2"),
        ({"order": np.array([-1, 1], "<i4").tobytes()}, "order: got -1 to 1"),
        ({"part": 1}, "part: got 1 of 1"),
        ({"objects": ["a", "a"]}, "only 1 of 2 are distinct"),
        ({"count": np.array([2, 0], "<i4").tobytes()}, "count: it is not what order says"),
        ({"size": np.array([-1, 0], "<i8").tobytes()}, "size: got -1"),
        ({"length": 5e-324}, "length: got 5e-324"),
    ],
)
def test_what_contradicts_itself_is_said(change: dict, reason: str) -> None:
    good = EdgeWindow(
        "lyon", 60.0, 60.0, 0, 1, ["a", "b"],
        np.array([1, 1], "<i4").tobytes(), np.zeros(2, "<i8").tobytes(),
        np.array([0, 1], "<i4").tobytes(),
    )  # fmt: skip
    assert consistency.of_window(good) is None
    found = consistency.of_window(msgspec.structs.replace(good, **change))
    assert found is not None
    assert re.search(reason, found)
