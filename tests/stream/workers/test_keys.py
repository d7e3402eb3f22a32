"""Keys that do not keep together what belongs together are noticed, and what they look like."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from stream.historian.role import EdgePartition
from stream.settings import Settings
from stream.telemetry.notices import Noticed
from stream.tracker.role import TrackedPartition
from stream.workers.keys import likeness, noticed
from topics.catalogue import EDGE_REQUESTS, SOCIAL_EVENTS, Topic
from topics.records import EdgeRequest, SocialEvent

AT_MS = 10_000_000


def message(key: bytes | None, record: Any, offset: int = 0) -> ConsumerRecord:
    topic: Topic = SOCIAL_EVENTS if isinstance(record, SocialEvent) else EDGE_REQUESTS
    value = topic.codec.encode(record)
    return ConsumerRecord(topic.name, 0, offset, AT_MS, 0, key, value, None, 3, len(value), ())


def event(number: int, cascade: str = "c") -> SocialEvent:
    return SocialEvent(cascade, f"{cascade}:{number}", f"u{number}", 100.0 + number, "share")


def batch(*keys: bytes | None) -> list[ConsumerRecord]:
    return [message(key, event(number), 100 + number) for number, key in enumerate(keys)]


def found_in(messages: list[ConsumerRecord], topic: Topic = SOCIAL_EVENTS) -> list[Noticed]:
    return noticed(messages, [topic.codec.decode(message.value) for message in messages], topic)


def test_the_cascade_as_the_key_is_as_it_should_be() -> None:
    assert found_in(batch(b"c", b"c")) == []
    assert found_in([message("größer/京".encode(), event(0, "größer/京"))]) == []
    assert found_in([]) == []


def test_messages_without_a_key_are_counted() -> None:
    [found] = found_in(batch(b"c", None, b"c", None))
    assert (found.kind, found.count, found.offset) == ("no_key", 2, 103)
    assert found.message.startswith("2 of 4 messages have no key. A cascade whose events lie in")


def test_keys_of_something_else_are_counted_apart() -> None:
    without, other = found_in(batch(None, b"u1", b"c", b"u3"))
    assert (without.kind, without.count, without.offset) == ("no_key", 1, 100)
    assert (other.kind, other.count, other.offset) == ("foreign_key", 2, 103)
    assert "is 'u3' where 'c' is expected: it is the user_id." in other.message


def test_one_in_a_long_batch_is_found_before_long_and_then_all_are_counted() -> None:
    """Each producer's messages are told in time, whatever its share and turn."""
    total, seen = 0, []
    for start in range(0, 16 * 4_001, 4_001):
        keys = [None if (start + i) % 16 == 5 else b"c" for i in range(4_000)]
        messages = [message(key, event(i), start + i) for i, key in enumerate(keys)]
        total += keys.count(None)
        seen += found_in(messages)
    assert seen and {found.count for found in seen} == {250}
    assert total == 16 * 250


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (b'"Post-1"', "in quotes, as a JSON serialiser writes it"),
        (b'{"cascade_id":"Post-1"}', "it is JSON"),
        (b"\0\0\0\0\7Post-1", r"header of a schema registry \(schema 7\): give the producer"),
        (b"post-1", "differs in upper and lower case"),
        (b" Post-1\n", "white space around it"),
        (b"", "is empty where 'Post-1' is expected"),
        (b"ann", "it is the user_id"),
        (b"e-9", "it is the event_id"),
        (b"story", "it is the content_id"),
        (b"\xff\xfe", "not text; expected 'Post-1'"),
        (b"x" * 5_000, "^is 'x{60}' where 'Post-1' is expected$"),
        (b"[" * 100_000, r"is '\[{60}' where"),
    ],
)
def test_what_a_key_looks_like(key: bytes, told: str) -> None:
    record = SocialEvent("Post-1", "e-9", "ann", 100.0, "share", content_id="story")
    assert re.search(told, likeness(key, record, "cascade_id"))


def test_the_tracker_notices_and_counts_what_comes_as_it_lies() -> None:
    partition = TrackedPartition(Settings())
    partition.process(batch(None, None, b"c"))
    assert [(found.kind, found.count) for found in partition.noticed] == [("no_key", 2)]
    assert partition.counters["accepted"] == 3


def test_the_historian_notices_requests_under_another_key_than_their_edge() -> None:
    partition = EdgePartition(Settings())
    requests = [EdgeRequest("lyon", f"o{i}", 100.0 + i) for i in range(3)]
    keys = (b"o0", b"lyon", None)
    partition.process([message(key, requests[i], i) for i, key in enumerate(keys)])
    without, other = partition.noticed
    assert (without.kind, without.count) == ("no_key", 1)
    assert "An edge whose requests lie in several partitions" in without.message
    assert "is 'o0' where 'lyon' is expected: it is the object_id" in other.message


def test_what_cannot_be_used_has_no_key_to_be_wrong() -> None:
    partition = TrackedPartition(Settings())
    bad = ConsumerRecord(SOCIAL_EVENTS.name, 0, 0, AT_MS, 0, None, b"{", None, 0, 1, ())
    partition.process([bad])
    assert partition.noticed == []
