"""Whether a log is still the one that was read, by what lies at a mark and by the log's end."""

from __future__ import annotations

from aiokafka import TopicPartition

from stream.kafka.logs import Verdict, _by_its_end, _compared
from stream.kafka.marks import Mark, Point
from tests.stream.kafka.test_marks import record
from topics.catalogue import CACHE_DECISIONS, SOCIAL_EVENTS


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
