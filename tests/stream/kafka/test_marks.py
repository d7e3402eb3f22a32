"""Marks: what they tell apart, and that they come through a commit as they were."""

from __future__ import annotations

import pytest
from aiokafka.structs import OffsetAndMetadata

from stream.kafka.marks import Mark, Point
from stream.workers.agents import Received
from topics.catalogue import SOCIAL_EVENTS


def record(offset: int = 7, timestamp: int = 1_000, value: bytes | None = b"v") -> Received:
    return Received(SOCIAL_EVENTS.name, 0, offset, timestamp, None, value)


def test_a_place_comes_back_from_a_commit_as_it_was() -> None:
    for value in (b"v", None):
        point = Point.after(record(value=value))
        assert point.offset == 8
        assert Point.committed(point.committable) == point
    assert Point.committed(Point(3).committable) == Point(3)


@pytest.mark.parametrize(
    "metadata", [None, "", "by hand", "7/1000/xyz", "7/1000", "7/1/" + "0" * 17]
)
def test_what_others_have_committed_is_a_place_without_a_mark(metadata: str | None) -> None:
    assert Point.committed(OffsetAndMetadata(8, metadata)) == Point(8)


def test_records_differ_by_offset_timestamp_and_value() -> None:
    others = [record(offset=8), record(timestamp=1_001), record(value=b"w")]
    assert len({Mark.of(one) for one in [record(), *others]}) == 4
