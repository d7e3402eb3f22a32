"""Logs with lying clocks in them: whoever is honest gets the same answers as without the liars.

A lie is of more than the clock skew and the lateness that the settings forgive; what is within them
is believed, as it always was. Until a partition's clock goes, there is nothing to hold a record of
the past against, so the first few records of a log are honest here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.historian.role import EdgePartition
from stream.settings import Settings, load
from stream.tracker.role import TrackedPartition
from stream.workers.publishing.output import Output
from topics.catalogue import DEAD_LETTERS, EDGE_REQUESTS, SOCIAL_EVENTS
from topics.records import EdgeRequest, SocialEvent

START, DAY = 1_790_000_000.0, 86_400.0
QUICK = load(
    environment={}, growth_first=3, snapshot_ages="5m,15m", horizons="1h,48h", window="60s"
)
BY_SENDER, BY_BROKER = 0, 1
LATENESS = float(QUICK.allowed_lateness)


@dataclass(frozen=True)
class Sent:
    """A record as it is sent: what it is about, and three clocks in unix seconds."""

    whose: int
    number: int
    arrived: float  # the broker's, which is right
    event: float
    stamp: float | None  # the sender's for the message; None: the broker stamps it
    lies: bool = False


LIES: dict[str, Callable[[Sent, float], Sent]] = {
    "event ahead": lambda sent, by: _replace(sent, event=sent.arrived + by),
    "event behind": lambda sent, by: _replace(sent, event=sent.event - by),
    "both ahead": lambda sent, by: _replace(sent, event=sent.event + by, stamp=sent.arrived + by),
    "message ahead": lambda sent, by: _replace(sent, stamp=sent.arrived + by),
    "message behind": lambda sent, by: _replace(sent, stamp=sent.arrived - by),
    "message in seconds": lambda sent, by: _replace(sent, stamp=sent.arrived / 1000),
}


def _replace(sent: Sent, event: float | None = None, stamp: float | None = None) -> Sent:
    return Sent(
        sent.whose, sent.number, sent.arrived,
        sent.event if event is None else event, stamp or sent.stamp, True,
    )  # fmt: skip


@st.composite
def logs(draw: st.DrawFn) -> list[Sent]:
    """Some hundred honest records with silences in them, and up to 1 % of liars anywhere."""
    gaps = st.sampled_from([0.0, 0.3, 2.0, 25.0, 90.0, 700.0])
    steps = draw(st.lists(gaps, min_size=100, max_size=220))
    whose = draw(st.lists(st.integers(0, 6), min_size=len(steps), max_size=len(steps)))
    late = draw(st.lists(st.sampled_from([0.0, 1.0, LATENESS]), min_size=20, max_size=20))
    sender = draw(st.booleans())
    log, now = [], START
    for number, (step, owner) in enumerate(zip(steps, whose, strict=True)):
        now += step
        event = now - late[number % len(late)]
        log.append(Sent(owner, number, now, event, now if sender else None))
    for liar in range(draw(st.integers(1, max(1, len(log) // 100)))):
        place = draw(st.integers(QUICK.clock_witnesses, len(log)))
        before = log[place - 1]
        # A cascade and an edge of its own, or one of the honest ones.
        owner = draw(st.sampled_from([before.whose, 90 + liar]))
        honest = Sent(owner, 1_000 + liar, before.arrived, before.arrived, before.stamp)
        lie = LIES[draw(st.sampled_from(sorted(LIES)))]
        log.insert(place, lie(honest, draw(st.sampled_from([2 * 3_600.0, 3 * DAY, 400 * DAY]))))
    return log


def event(sent: Sent) -> bytes:
    kind = "share" if sent.number % 5 else "post"
    return SOCIAL_EVENTS.codec.encode(
        SocialEvent(f"c{sent.whose}", f"e{sent.number}", f"u{sent.number}", sent.event, kind)
    )


def request(sent: Sent) -> bytes:
    return EDGE_REQUESTS.codec.encode(EdgeRequest(f"c{sent.whose}", f"o{sent.number}", sent.event))


def messages(log: Sequence[Sent], value: Callable[[Sent], bytes]) -> list[ConsumerRecord]:
    return [
        ConsumerRecord(
            SOCIAL_EVENTS.name, 0, sent.number,
            round((sent.arrived if sent.stamp is None else sent.stamp) * 1000),
            BY_BROKER if sent.stamp is None else BY_SENDER,
            f"c{sent.whose}".encode(), value(sent), 0, 1, 1, (),
        )
        for sent in log
    ]  # fmt: skip


def answers(
    handler: Callable[[Settings, Callable[[], float]], TrackedPartition | EdgePartition],
    log: Sequence[Sent],
    value: Callable[[Sent], bytes],
) -> tuple[list[Output], set[int]]:
    """What a live worker answers, record by record: outputs for the honest, refused offsets."""
    now = START
    partition = handler(QUICK, lambda: now)
    outputs: list[Output] = []
    refused: set[int] = set()
    for sent, message in zip(log, messages(log, value), strict=True):
        now = sent.arrived + 0.5
        for output in partition.process([message]):
            if output.topic == DEAD_LETTERS.name:
                refused.add(int(dict(output.headers)["offset"]))
            elif (output.key or b"") < b"c90":
                outputs.append(output)
    return outputs, refused


@pytest.mark.parametrize(
    ("handler", "value"), [(TrackedPartition, event), (EdgePartition, request)]
)
@settings(max_examples=60, deadline=None)
@given(log=logs())
def test_the_honest_get_the_same_answers_and_liars_are_dead_letters(
    handler: type[TrackedPartition | EdgePartition], value: Callable[[Sent], bytes], log: list[Sent]
) -> None:
    honest = [sent for sent in log if not sent.lies]
    liars = {sent.number for sent in log if sent.lies}
    expected, none = answers(handler, honest, value)
    found, refused = answers(handler, log, value)
    assert none == set()
    assert refused == liars
    assert found == expected
