"""Which dead letters may go back, without Kafka; held against what the roles say themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from aiokafka import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.historian.role import EdgePartition
from stream.letters.reading import Letter
from stream.letters.redrive import MAX_ROUNDS, Redriven, _cleared, objection, still_wrong
from stream.settings import Settings, load
from stream.tracker.role import TrackedPartition
from stream.workers.publishing.output import REDRIVEN
from tests.stream.letters.test_reading import bare, letter_of
from topics.catalogue import (
    CASCADE_SNAPSHOTS,
    DEAD_LETTERS,
    EDGE_REQUESTS,
    EDGE_WINDOWS,
    MODEL_UPDATES,
    POPULARITY_FORECASTS,
    SOCIAL_EVENTS,
    Topic,
)
from topics.records import CascadeSnapshot, EdgeWindow

SETTINGS = load(environment={}, event_bytes="300")
NOW = 1_700_000_000.0
EVENT = {"cascade_id": "c", "event_id": "e", "user_id": "u", "timestamp": NOW, "kind": "share"}
REQUEST = {"edge_id": "e", "object_id": "o", "timestamp": NOW}


def on(
    topic: Topic, value: bytes | None, headers: tuple[tuple[str, bytes], ...] = ()
) -> ConsumerRecord:
    length = len(value or b"")
    return ConsumerRecord(
        topic.name, 0, 0, round(NOW * 1000), 0, b"k", value, None, 1, length, headers
    )


def event(**fields: Any) -> bytes:
    return msgspec.json.encode(EVENT | fields)


def objected(letter: Letter, now: float = NOW, settings: Settings = SETTINGS) -> str:
    found = objection(letter, settings, now)
    return "" if found is None else found.reason


def test_what_is_good_now_may_go_and_what_is_not_says_what_is_wrong() -> None:
    assert objected(letter_of(on(SOCIAL_EVENTS, event()))) == ""
    assert "would fail again: " in objected(letter_of(on(SOCIAL_EVENTS, b"{")))
    assert "null" in objected(letter_of(on(SOCIAL_EVENTS, None)))
    assert "`$.kind`" in objected(letter_of(on(SOCIAL_EVENTS, event(kind="like"))))


@pytest.mark.parametrize("force", [False, True])
def test_what_was_sent_back_is_not_sent_again(force: bool) -> None:
    letter, done = letter_of(on(SOCIAL_EVENTS, event())), Redriven()
    assert _cleared(letter, SETTINGS, set(), force, done)
    assert not _cleared(letter, SETTINGS, {letter.place}, force, done)
    assert (done.already, done.refused) == (1, {})


def test_a_setting_that_was_mended_lets_a_large_one_go() -> None:
    letter = letter_of(on(SOCIAL_EVENTS, event(note="x" * 400)), error="OversizedError")
    assert "event_bytes" in objected(letter)
    assert objected(letter, settings=SETTINGS.having(event_bytes=1000)) == ""


def test_what_was_to_come_may_go_when_it_has_come() -> None:
    letter = letter_of(on(SOCIAL_EVENTS, event(timestamp=NOW + 86_400)), error="InFutureError")
    assert "still to come" in objected(letter)
    assert objected(letter, now=NOW + 86_400) == ""


def test_what_depends_on_the_roles_state_is_left_to_the_operator() -> None:
    letter = letter_of(on(SOCIAL_EVENTS, event()), error="BeforeRootError")
    assert "BeforeRootError depends on" in objected(letter)


def test_what_came_back_goes_only_when_forced_and_never_for_ever() -> None:
    for rounds in range(1, MAX_ROUNDS):
        letter = letter_of(on(SOCIAL_EVENTS, event(), ((REDRIVEN, str(rounds).encode()),)))
        found = objection(letter, SETTINGS, NOW)
        assert found is not None and not found.final
    letter = letter_of(on(SOCIAL_EVENTS, event(), ((REDRIVEN, str(MAX_ROUNDS).encode()),)))
    found = objection(letter, SETTINGS, NOW)
    assert found is not None and found.final


@pytest.mark.parametrize(
    ("topic", "role"),
    [
        (DEAD_LETTERS.name, "tracker"),
        ("my.topic", "tracker"),
        (MODEL_UPDATES.name, "tracker"),
        (SOCIAL_EVENTS.name, "historian"),
        ("", ""),
    ],
)
def test_a_letter_of_no_role_goes_nowhere(topic: str, role: str) -> None:
    letter = bare({"topic": topic.encode(), "role": role.encode(), "error": b"DecodeError"})
    found = objection(letter, SETTINGS, NOW)
    assert found is not None and found.final


def test_a_compacted_topic_keeps_its_newest() -> None:
    letter = letter_of(on(POPULARITY_FORECASTS, b"{}"), role="scorer")
    assert "compacted" in objected(letter)


ONE, FOUR, EIGHT = (1).to_bytes(4, "little"), bytes(4), bytes(8)


@pytest.mark.parametrize(
    ("topic", "role", "record", "field"),
    [
        (
            CASCADE_SNAPSHOTS,
            "forecaster",
            CascadeSnapshot("c@n1", "c", "n1", NOW, 0.0, 1, True, FOUR, FOUR, FOUR, FOUR),
            "depth",
        ),
        (
            EDGE_WINDOWS,
            "ranker",
            EdgeWindow("e", NOW, 60.0, 0, 1, ["o"], ONE, EIGHT, FOUR),
            "count",
        ),
    ],
    ids=["snapshot", "window"],
)
def test_records_that_contradict_themselves_would_fail_again(
    topic: Topic, role: str, record: msgspec.Struct, field: str
) -> None:
    good = on(topic, topic.codec.encode(record))
    assert still_wrong(letter_of(good, role=role), SETTINGS, NOW) is None
    broken = topic.codec.encode(msgspec.structs.replace(record, **{field: EIGHT}))
    reason = still_wrong(letter_of(on(topic, broken), role=role), SETTINGS, NOW)
    assert reason is not None and "expected" in reason


odd_values = st.one_of(
    st.none(),
    st.binary(max_size=40),
    st.fixed_dictionaries(
        {
            "cascade_id": st.sampled_from(["c", "", "x" * 257]),
            "event_id": st.sampled_from(["e", "x" * 250]),
            "user_id": st.sampled_from(["u", "", 7]),
            "timestamp": st.sampled_from([NOW, NOW + 50, NOW + 86_400, -1, "noon", 5e9]),
            "kind": st.sampled_from(["post", "like"]),
        }
    ).map(msgspec.json.encode),
)


@settings(max_examples=60)
@given(odd_values)
def test_the_tracker_refuses_exactly_what_is_kept_back(value: bytes | None) -> None:
    record = on(SOCIAL_EVENTS, value)
    refused = [
        o for o in TrackedPartition(SETTINGS).process([record]) if o.topic == DEAD_LETTERS.name
    ]
    assert bool(refused) == (still_wrong(letter_of(record), SETTINGS, NOW) is not None)


@settings(max_examples=60)
@given(
    st.one_of(
        st.none(),
        st.binary(max_size=40),
        st.fixed_dictionaries(
            {
                "edge_id": st.sampled_from(["e", ""]),
                "object_id": st.sampled_from(["o", "x" * 256]),
                "timestamp": st.sampled_from([NOW, NOW + 50, NOW + 86_400, -1]),
            }
        ).map(msgspec.json.encode),
    )
)
def test_the_historian_refuses_exactly_what_is_kept_back(value: bytes | None) -> None:
    record = on(EDGE_REQUESTS, value)
    refused = [o for o in EdgePartition(SETTINGS).process([record]) if o.topic == DEAD_LETTERS.name]
    letter = letter_of(record, role="historian")
    assert bool(refused) == (still_wrong(letter, SETTINGS, NOW) is not None)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ('192.0.2.7 - - [DAY +0000] "GET /a HTTP/1.1" 200 612 "-" "-"', ""),
        ('192.0.2.7 - - [LATER +0000] "GET /a HTTP/1.1" 200 612 "-" "-"', "is still to come"),
        ('192.0.2.7 - - [LATER +0000] "POST /a HTTP/1.1" 200 612 "-" "-"', ""),
        ("no line of a log", "expected a line as nginx-combined has them"),
    ],
)
def test_what_is_in_a_format_is_held_back_by_it(line: str, wrong: str) -> None:
    for name, moment in (("DAY", NOW), ("LATER", NOW + 86_400)):
        written = datetime.fromtimestamp(moment, UTC).strftime("%d/%b/%Y:%H:%M:%S")
        line = line.replace(name, written)
    own = SETTINGS.having(requests_format="nginx-combined?edge=e")
    record = on(EDGE_REQUESTS, line.encode())
    refused = [o for o in EdgePartition(own).process([record]) if o.topic == DEAD_LETTERS.name]
    assert len(refused) == bool(wrong)
    assert wrong in (still_wrong(letter_of(record, role="historian"), own, NOW) or "")
    assert bool(wrong) == bool(still_wrong(letter_of(record, role="historian"), own, NOW))
