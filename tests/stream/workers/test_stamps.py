"""What the Kafka timestamps of messages are worth, and what is said of those that cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from aiokafka import ConsumerRecord

from stream.workers.stamps import noticed, objection, stamps
from topics.catalogue import SOCIAL_EVENTS
from topics.records import SocialEvent

NOW, SKEW, DAY = 1_796_000_000.0, 60.0, 86_400.0
BY_SENDER, BY_BROKER = 0, 1


def message(stamp: float, kind: int, offset: int = 0) -> ConsumerRecord:
    """A message stamped so, in seconds; -0.001 is Kafka's "none"."""
    return ConsumerRecord(
        SOCIAL_EVENTS.name, 0, offset, round(stamp * 1000), kind, b"c", b"", 0, 1, 0, ()
    )


def event(timestamp: float) -> SocialEvent:
    return SocialEvent("c", "e", "u", timestamp, "post")


def judged(stamp: float, kind: int, timestamp: float) -> tuple[str, str] | None:
    """Class of error and message; None where the event is believed."""
    record = message(stamp, kind)
    latest = stamps([record], [event(timestamp)], NOW, SKEW).latest[0]
    if timestamp <= latest + SKEW:
        return None
    return objection(record, timestamp, latest)


@pytest.mark.parametrize("kind", [BY_SENDER, BY_BROKER])
@pytest.mark.parametrize("timestamp", [0.0, NOW - 8 * DAY, NOW - 1, NOW, NOW + SKEW])
def test_an_event_of_any_past_is_believed_under_a_stamp_of_now(kind: int, timestamp: float) -> None:
    assert judged(NOW, kind, timestamp) is None


@pytest.mark.parametrize(
    ("stamp", "kind", "timestamp", "error", "words"),
    [
        (NOW, BY_BROKER, NOW + 3 * DAY, "InFutureError", "259200 s later than the broker took"),
        (NOW, BY_SENDER, NOW + 3 * DAY, "InFutureError", "259200 s later than the message itself"),
        (NOW + 3 * DAY, BY_SENDER, NOW + 3 * DAY, "InFutureError", "ahead of this worker's clock"),
        (NOW + 3 * DAY, BY_SENDER, NOW, "MessageTimeError", "message's own Kafka timestamp"),
        (NOW / 1000, BY_SENDER, NOW, "MessageTimeError", "look like seconds"),
        (5.0, BY_SENDER, NOW, "MessageTimeError", "got 5000, expected milliseconds"),
        (NOW - DAY, BY_SENDER, NOW, "InFutureError", "86400 s later than the message itself"),
        (-0.001, BY_SENDER, NOW + DAY, "InFutureError", "ahead of this worker's clock"),
    ],
)
def test_whose_clock_is_wrong_is_said(
    stamp: float, kind: int, timestamp: float, error: str, words: str
) -> None:
    found = judged(stamp, kind, timestamp)
    assert found is not None
    assert found[0] == error
    assert words in found[1]


def test_a_broker_ahead_of_this_worker_is_believed() -> None:
    """Else what is decided would hang on the worker's clock."""
    assert judged(NOW + DAY, BY_BROKER, NOW + DAY) is None


@pytest.mark.parametrize("stamp", [0.0, -0.001])
def test_without_a_stamp_the_event_s_time_is_taken(stamp: float) -> None:
    found = stamps([message(stamp, BY_SENDER)], [event(NOW - 5)], NOW, SKEW)
    assert found.ms == [round((NOW - 5) * 1000)]
    assert found.latest.tolist() == [NOW - 5]


def test_a_stamp_within_the_skew_of_clocks_is_believed_up_to_now() -> None:
    found = stamps([message(NOW + 59, BY_SENDER)], [event(NOW)], NOW, SKEW)
    assert found.latest.tolist() == [NOW]


def test_operators_are_told_how_many_of_a_batch_and_the_last_of_them() -> None:
    batch = [message(NOW, BY_SENDER, offset) for offset in range(10, 14)]
    ahead, old = np.array([True, False, True, False]), np.zeros(4, np.bool_)
    (one,) = noticed(batch, ahead, old, "cascades")
    assert (one.kind, one.count, one.offset) == ("clock_ahead", 2, 12)
    (one,) = noticed(batch, old, ahead, "cascades")
    assert (one.kind, one.count, one.offset) == ("behind_watermark", 2, 12)
    assert noticed(batch, old, old, "cascades") == []
