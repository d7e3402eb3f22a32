"""Marks: what they tell apart, and that they come through a commit as they were."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from stream.kafka.logs import Verdict, _by_its_end, _compared
from stream.kafka.marks import Mark, Point
from stream.workers.agents import Received
from topics.catalogue import CACHE_DECISIONS, SOCIAL_EVENTS


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


def test_what_lies_at_a_mark_says_whether_the_log_is_the_same() -> None:
    source, mark = TopicPartition(SOCIAL_EVENTS.name, 0), Mark.of(record())
    assert _compared(source, mark, Mark.of(record())) is Verdict.SAME
    assert _compared(source, mark, Mark.of(record(value=b"w"))) is Verdict.OTHER
    # A record goes from the middle of a log by compaction alone.
    assert _compared(source, mark, Mark.of(record(offset=8))) is Verdict.OTHER
    compacted = TopicPartition(CACHE_DECISIONS.name, 0)
    assert _compared(compacted, mark, Mark.of(record(offset=8))) is Verdict.UNKNOWN
    assert _compared(compacted, mark, Mark.of(record(value=b"w"))) is Verdict.OTHER


def test_where_nothing_lies_at_a_mark_the_end_of_the_log_says_it() -> None:
    point = Point.after(record())
    assert _by_its_end(point, 7) is Verdict.OTHER
    assert _by_its_end(point, 8) is Verdict.UNKNOWN
    assert _by_its_end(Point(8), 7) is Verdict.OTHER
    assert _by_its_end(Point(8), 8) is Verdict.UNKNOWN
    assert _by_its_end(point, None) is Verdict.ABSENT
