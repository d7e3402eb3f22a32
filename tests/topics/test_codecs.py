from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from topics.catalogue import CASCADE_SNAPSHOTS, SOCIAL_EVENTS, Topic
from topics.codecs import BadValue, Codec, DecodeError
from topics.records import SocialEvent

EVENT = SocialEvent("c", "e", "u", 1.0, "post")
GOOD = SOCIAL_EVENTS.codec.encode(EVENT)
BAD: dict[str, bytes | None] = {
    "null value": None,
    "no bytes": b"",
    "not JSON": b"post by u",
    "truncated": GOOD[:-1],
    "two records": GOOD + GOOD,
    "a piece that would join with its neighbour": GOOD[:-1] + b"},{",
    "JSON null": b"null",
    "an array": b"[" + GOOD + b"]",
    "not UTF-8": GOOD.replace(b'"c"', b'"\xff\xfe"'),
    "half a surrogate pair": GOOD.replace(b'"c"', rb'"\ud800"'),
    "nested 100,000 deep, arrays": b"[" * 100_000,
    "nested 100,000 deep in an unknown field": b'{"x":' + b'{"a":' * 100_000,
    "a number too large for a float": GOOD.replace(b"1.0", b"1e999"),
    "NaN": GOOD.replace(b"1.0", b"NaN"),
    "a missing field": GOOD.replace(b'"event_id":"e",', b""),
}
WRONG_TYPES = {
    "cascade_id": [1, True, None, [], {}],
    "timestamp": ["1", True, None, [1]],
    "kind": ["like", 1, None],
    "parent_id": [0, False, []],
}


def one(codec: Codec[Any], values: list[bytes | None]) -> tuple[list[Any], list[int]]:
    """The slow, obvious reference of `decode_batch`: each value by itself."""
    records, bad = [], []
    for position, value in enumerate(values):
        try:
            records.append(codec.decode(value))
        except DecodeError:
            bad.append(position)
    return records, bad


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_every_record_survives_its_codec(
    topic: Topic, any_record: st.SearchStrategy[msgspec.Struct], data: st.DataObject
) -> None:
    drawn = data.draw(st.lists(any_record, max_size=3))
    values = [topic.codec.encode(record) for record in drawn]
    assert [topic.codec.decode(value) for value in values] == drawn
    assert topic.codec.decode_batch(values) == (drawn, [])


@pytest.mark.parametrize("name", BAD)
def test_bad_values_are_refused(name: str) -> None:
    with pytest.raises(DecodeError):
        SOCIAL_EVENTS.codec.decode(BAD[name])


@pytest.mark.parametrize(
    ("field", "value"), [(name, value) for name, values in WRONG_TYPES.items() for value in values]
)
def test_an_error_names_the_field(field: str, value: object) -> None:
    fields = msgspec.to_builtins(EVENT) | {field: value}
    with pytest.raises(DecodeError, match=rf"\$\.{field}"):
        SOCIAL_EVENTS.codec.decode(msgspec.json.encode(fields))


@given(st.lists(st.sampled_from([GOOD, *BAD.values()]), max_size=12))
def test_a_batch_loses_its_bad_values_and_nothing_else(values: list[bytes | None]) -> None:
    records, bad = SOCIAL_EVENTS.codec.decode_batch(values)
    expected = one(SOCIAL_EVENTS.codec, values)
    assert (records, [value.position for value in bad]) == expected
    assert [value.position for value in bad] == [
        position for position, value in enumerate(values) if value != GOOD
    ]


def test_a_bad_value_comes_with_its_reason() -> None:
    _, [bad] = SOCIAL_EVENTS.codec.decode_batch([GOOD, None, GOOD])
    assert isinstance(bad, BadValue)
    assert bad.position == 1
    assert str(bad.error) == "the value is null; a record is expected"


def test_fields_of_a_later_version_are_ignored() -> None:
    assert SOCIAL_EVENTS.codec.decode(GOOD[:-1] + b',"mood":{"joy":[1,2]}}') == EVENT


@pytest.mark.parametrize(
    "value", [b"", b"\xc1", b"\x80", b"\x91" * 100_000, b"\x81\xa1x" * 100_000]
)
def test_bad_messagepack_is_refused(value: bytes) -> None:
    with pytest.raises(DecodeError):
        CASCADE_SNAPSHOTS.codec.decode(value)
