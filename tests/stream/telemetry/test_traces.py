"""The trace of a message: carried on where there is one, else a function of an id."""

from __future__ import annotations

import pytest
from aiokafka import ConsumerRecord

from stream.forecaster.batch import ForecastBatch
from stream.settings import load
from stream.telemetry.traces import TRACEPARENT, carried, derived, is_sampled, of, trace_id
from stream.tracker.role import TrackedPartition
from stream.workers.publishing.output import Output, dead_letter
from tests.stream.workers.test_heartbeats import QUICK, batches, events, forecaster, received
from topics.catalogue import CASCADE_SNAPSHOTS, POPULARITY_FORECASTS, SOCIAL_EVENTS
from topics.records import SocialEvent

GIVEN = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_what_the_sender_gave_is_carried_on_and_nothing_else_is() -> None:
    assert carried([("x", b"1"), (TRACEPARENT, GIVEN)]) == GIVEN
    assert trace_id(GIVEN) == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert is_sampled(GIVEN)
    for bad in (b"", b"00-0-0-00", GIVEN.upper(), GIVEN + b"-x", GIVEN.replace(b"00-4", b"ff-4"),
                b"00-" + b"0" * 32 + GIVEN[35:], GIVEN[:36] + b"0" * 16 + GIVEN[52:]):  # fmt: skip
        assert carried([(TRACEPARENT, bad)]) is None, bad
        assert of([(TRACEPARENT, bad)], "id") == derived("id")


def test_a_derived_one_is_valid_the_same_each_time_and_another_for_another() -> None:
    found = {name: derived(name) for name in (f"c{number}@n10" for number in range(1000))}
    assert len({trace_id(one) for one in found.values()}) == len(found)
    for name, one in found.items():
        assert carried([(TRACEPARENT, one)]) == one == derived(name)
    # On every machine and in every version: what is in the log keeps its trace.
    assert derived("c@n10") == b"00-" + trace_id(derived("c@n10")).encode() + derived("c@n10")[35:]


@pytest.mark.parametrize(("share", "least", "most"), [(0, 0, 0), (0.1, 60, 140), (1, 1000, 1000)])
def test_a_share_of_them_is_sampled(share: float, least: int, most: int) -> None:
    sampled = [is_sampled(derived(f"c{number}", share)) for number in range(1000)]
    assert least <= sum(sampled) <= most


def traced(outputs: list[Output], topic: str) -> dict[bytes | None, bytes | None]:
    """The traceparent by value."""
    return {o.value: carried(o.headers) for o in outputs if o.topic == topic}


def test_replays_give_snapshots_the_same_headers() -> None:
    first = batches(TrackedPartition(QUICK), events())
    again = batches(TrackedPartition(QUICK), events(), size=11)
    found = traced(first, CASCADE_SNAPSHOTS.name)
    assert found == traced(again, CASCADE_SNAPSHOTS.name)
    assert len(set(found.values())) == len(found) > 5


def test_an_event_s_trace_reaches_the_forecast() -> None:
    log = [
        ConsumerRecord(
            SOCIAL_EVENTS.name, 0, n, 10_000_000 + n, 0, b"c",
            SOCIAL_EVENTS.codec.encode(SocialEvent("c", f"e{n}", f"u{n}", 100.0 + n, "share")),
            0, 1, 1, [(TRACEPARENT, GIVEN)] if n == 2 else (),
        )
        for n in range(6)
    ]  # fmt: skip
    outputs = TrackedPartition(load(environment={}, growth_first=3)).process(log)
    snapshots = [o for o in outputs if o.topic == CASCADE_SNAPSHOTS.name]
    # The third event is the one that makes the cascade large enough.
    assert carried(snapshots[0].headers) == GIVEN
    assert all(carried(snapshot.headers) != GIVEN for snapshot in snapshots[1:])
    role: ForecastBatch = forecaster()
    messages = [
        message._replace(headers=snapshot.headers)
        for message, snapshot in zip(received(CASCADE_SNAPSHOTS, snapshots), snapshots, strict=True)
    ]
    forecasts = [o for _, o in role(messages) if o.topic == POPULARITY_FORECASTS.name]
    assert [carried(o.headers) for o in forecasts] == [carried(o.headers) for o in snapshots]


def test_a_dead_letter_keeps_its_trace_or_has_one_of_its_place() -> None:
    record = ConsumerRecord(
        SOCIAL_EVENTS.name, 3, 17, 0, 0, b"k", b"{}", 0, 1, 1, [(TRACEPARENT, GIVEN)]
    )
    assert carried(dead_letter(record, "tracker", "DecodeError", "no").headers) == GIVEN
    record = ConsumerRecord(SOCIAL_EVENTS.name, 3, 17, 0, 0, b"k", b"{}", 0, 1, 1, ())
    assert carried(dead_letter(record, "tracker", "DecodeError", "no").headers) == derived(
        "social.events/3/17"
    )
