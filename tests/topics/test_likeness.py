"""What values look like that are not records: the dead letter names the cause and what to set."""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.catalogue import CACHE_DECISIONS, EDGE_REQUESTS, SOCIAL_EVENTS
from topics.codecs import DecodeError
from topics.likeness import cause, schema_id, unwrapped
from topics.records import SocialEvent

PLAIN = {"cascade_id": "c", "event_id": "e", "user_id": "u", "timestamp": 1.5, "kind": "share"}
TEXT = json.dumps(PLAIN)
VALUE = TEXT.encode()
EVENT = SOCIAL_EVENTS.codec.decode(VALUE)


def why(value: bytes | dict[str, Any]) -> str:
    """What is said of a value of social.events."""
    encoded = json.dumps(value).encode() if isinstance(value, dict) else value
    with pytest.raises(DecodeError) as refused:
        SOCIAL_EVENTS.codec.decode(encoded)
    return str(refused.value)


@pytest.mark.parametrize(
    "wrapped",
    [
        b"\0\0\0\0\7" + VALUE,
        b"\0\xff\xff\xff\xff" + VALUE,
        b"\0\0\0\0\1 \n" + VALUE,
        b"\xef\xbb\xbf" + VALUE,
    ],
    ids=["schema 7", "schema 4294967295", "white space behind it", "byte order mark"],
)
def test_what_may_stand_before_json_is_passed_over(wrapped: bytes) -> None:
    assert SOCIAL_EVENTS.codec.decode(wrapped) == EVENT
    assert SOCIAL_EVENTS.codec.decode_batch([wrapped] * 3) == ([EVENT] * 3, [])


def test_wrapped_plain_and_bad_values_may_stand_in_one_batch() -> None:
    values = [VALUE, b"\0\0\0\0\7" + VALUE, b"\0\0\0\0\7{", None, VALUE]
    records, bad = SOCIAL_EVENTS.codec.decode_batch(values)
    assert records == [EVENT] * 3
    assert [position for position, _ in bad] == [2, 3]
    assert "truncated" in str(bad[0].error)


@pytest.mark.parametrize("value", [b"", b"\0", b"\0\0\0\0\1", b"\0\0\0\0\1[1]", b"{}", b"x"])
def test_nothing_else_is_taken_away(value: bytes) -> None:
    assert unwrapped(value) == value


def test_a_schema_is_named_where_there_is_one() -> None:
    assert schema_id(b"\0\0\0\1\2rest") == 258
    assert schema_id(b"\0\0\0\1") is None
    assert schema_id(b"{} long enough") is None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"", "the value is empty"),
        (b" \n", "the value is empty"),
        (b"\0\0\0\0\7\x02\x06abc", "header of a schema registry (schema 7)"),
        (b"\0\0\0\0\7\x02\x06abc", "Avro or Protobuf: set another value.serializer"),
        (b"Obj\x01\x04\x16avro.schema", "an Avro file"),
        (gzip.compress(VALUE), "compressed by gzip: set compression.type in the producer"),
        (zlib.compress(VALUE), "compressed by zlib"),
        (bz2.compress(VALUE), "compressed by bzip2"),
        (lzma.compress(VALUE), "compressed by xz"),
        (b"\x28\xb5\x2f\xfd\x24", "compressed by zstd"),
        (b"\x04\x22\x4d\x18\x64", "compressed by lz4"),
        (b"\x82SNAPPY\x00\x00", "compressed by snappy"),
        (TEXT.encode("utf-16"), "looks like UTF-16"),
        (TEXT.encode("utf-16-le"), "looks like UTF-16"),
        (TEXT.encode("utf-16-be"), "looks like UTF-16"),
        (msgspec.msgpack.encode(PLAIN), "is MessagePack"),
        (b"<event/>", "looks like XML"),
        (base64.b64encode(VALUE), "looks like base64"),
        (json.dumps(TEXT).encode(), "JSON within a JSON text: it was encoded twice"),
        (b'"a"', "the value is a text"),
        (b"17", "the value is no object"),
        (b"[" + VALUE + b"]", "an array: send each record as a message of its own"),
        (VALUE + b"\n" + VALUE, "several lines: send each record as a message of its own"),
        (VALUE.replace(b"1.5", b"NaN"), "JSON has no NaN and no Infinity"),
        (VALUE.replace(b"1.5", b"-Infinity"), "JSON has no NaN and no Infinity"),
        (str(PLAIN).encode(), "names in single quotes are not JSON"),
        ({"schema": {}, "payload": PLAIN}, "value.converter.schemas.enable=false"),
        ({"specversion": "1.0", "data": PLAIN}, "the data of a CloudEvent"),
        (VALUE.replace(b"cascade_id", b"cascadeId"), "it has 'cascadeId': name it cascade_id"),
        ({**PLAIN, "cascade_id": 17}, 'ids are text: send "17"'),
        ({**PLAIN, "parent_id": 17}, 'ids are text: send "17"'),
        ({**PLAIN, "timestamp": 1.8e12}, "looks like milliseconds: send unix seconds, 1800000000"),
        ({**PLAIN, "timestamp": 1.8e15}, "looks like microseconds"),
        ({**PLAIN, "timestamp": 1.8e18}, "looks like nanoseconds"),
        ({**PLAIN, "timestamp": "1800000000000"}, "looks like milliseconds"),
        ({**PLAIN, "timestamp": "1800000000"}, "a number in quotes: send unix seconds"),
        ({**PLAIN, "timestamp": "2027-01-15T08:00:00Z"}, "an ISO 8601 time: send unix seconds"),
        ({**PLAIN, "timestamp": None}, "send unix seconds, a number"),
    ],
)
def test_the_cause_is_named(value: bytes | dict[str, Any], told: str) -> None:
    assert told in why(value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (VALUE[:40], "Input data was truncated"),
        ({**PLAIN, "kind": "Share"}, "Invalid enum value 'Share' - at `$.kind`"),
        ({**PLAIN, "timestamp": -1}, "Expected `float` >= 0.0 - at `$.timestamp`"),
        ({}, "Object missing required field `cascade_id`"),
    ],
)
def test_what_says_enough_is_left_as_it_is(value: bytes | dict[str, Any], told: str) -> None:
    assert why(value) == told


def test_a_size_in_quotes_is_told() -> None:
    request = {"edge_id": "e", "object_id": "o", "timestamp": 1, "size": "123"}
    with pytest.raises(DecodeError, match="'123' is a number in quotes: send 123"):
        EDGE_REQUESTS.codec.decode(json.dumps(request).encode())


def test_of_a_topic_of_several_records_the_decoder_says_enough() -> None:
    with pytest.raises(DecodeError, match=r"Expected `str`, got `int` - at `\$.edge_id`$"):
        CACHE_DECISIONS.codec.decode(b'{"record":"decision","edge_id":7}')


def test_what_is_quoted_is_cut() -> None:
    assert len(why({**PLAIN, "timestamp": "2027-01-15" + "x" * 10_000})) < 300


@given(st.binary(max_size=200), st.text(max_size=80))
def test_any_bytes_have_a_cause_or_none(value: bytes, error: str) -> None:
    told = cause(value, SocialEvent, error)
    assert not told or told.startswith("; ")
