from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import inspect

from topics.catalogue import EDGE_REQUESTS, SOCIAL_EVENTS, Topic
from topics.codecs import DecodeError
from topics.records import BIN_EDGES, CascadeSnapshot, EdgeWindow

LONGEST = "x" * 256
END = 4_102_444_800.0  # the year 2100
EVENT = {"cascade_id": "c", "event_id": "e", "user_id": "u", "timestamp": 1.0, "kind": "post"}
REQUEST = {"edge_id": "e", "object_id": "o", "timestamp": 1.0}
IDENTIFIER = (["x", LONGEST, "é" * 256, "a b\n"], ["", LONGEST + "x"])
OBJECT = (["x", "/" + "é" * 2_047], ["", "/" + "x" * 2_048])
OPTIONAL = ([None, *IDENTIFIER[0]], IDENTIFIER[1])
TIME = ([0, 0.0, 1, math.nextafter(END, 0)], [-1, math.nextafter(0, -1), END, 1e300])
# The inputs, written out: what outsiders may send, and what they may not.
INPUTS: list[tuple[Topic, dict[str, Any], str, tuple[list[Any], list[Any]]]] = [
    (SOCIAL_EVENTS, EVENT, "cascade_id", IDENTIFIER),
    (SOCIAL_EVENTS, EVENT, "event_id", IDENTIFIER),
    (SOCIAL_EVENTS, EVENT, "user_id", IDENTIFIER),
    (SOCIAL_EVENTS, EVENT, "timestamp", TIME),
    (SOCIAL_EVENTS, EVENT, "kind", (["post", "share", "reply", "view"], ["", "Post", "like"])),
    (SOCIAL_EVENTS, EVENT, "parent_id", OPTIONAL),
    (SOCIAL_EVENTS, EVENT, "parent_user_id", OPTIONAL),
    (SOCIAL_EVENTS, EVENT, "content_id", OPTIONAL),
    (EDGE_REQUESTS, REQUEST, "edge_id", IDENTIFIER),
    (EDGE_REQUESTS, REQUEST, "object_id", OBJECT),
    (EDGE_REQUESTS, REQUEST, "timestamp", TIME),
    (EDGE_REQUESTS, REQUEST, "size", ([None, 0, (1 << 50) - 1], [-1, 1 << 50, 0.5])),
    (EDGE_REQUESTS, REQUEST, "hit", ([None, True, False], [0, 1])),
    (EDGE_REQUESTS, REQUEST, "client_id", OPTIONAL),
]


@pytest.mark.parametrize(
    ("topic", "fields", "name", "values"), INPUTS, ids=[f"{t.name}-{n}" for t, _, n, _ in INPUTS]
)
def test_bounds_of_the_inputs(
    topic: Topic, fields: dict[str, Any], name: str, values: tuple[list[Any], list[Any]]
) -> None:
    inside, outside = values
    for value in inside:
        record = topic.codec.decode(msgspec.json.encode(fields | {name: value}))
        assert getattr(record, name) == value
    for value in outside:
        with pytest.raises(DecodeError, match=rf"\$\.{name}"):
            topic.codec.decode(msgspec.json.encode(fields | {name: value}))


def test_the_inputs_are_all_written_out() -> None:
    named = {(topic.record, name) for topic, _, name, _ in INPUTS}
    fields = {
        (t.record, f) for t in (SOCIAL_EVENTS, EDGE_REQUESTS) for f in t.record.__annotations__
    }
    assert named == fields


def test_every_field_is_bounded_and_holds_its_bounds(
    topic: Topic, record: type[msgspec.Struct], example: msgspec.Struct
) -> None:
    """Of every record: a value at each bound passes, the next one outside is refused."""
    encode = msgspec.json.encode if topic.encoding == "json" else msgspec.msgpack.encode
    raw = msgspec.to_builtins(example, builtin_types=(bytes,))
    assert topic.codec.decode(encode(raw)) == example
    for path, kind in leaves(inspect.type_info(record), ()):
        inside, outside = around(kind)
        for value in inside:
            topic.codec.decode(encode(put(raw, path, value)))
        for value in outside:
            with pytest.raises(DecodeError):
                topic.codec.decode(encode(put(raw, path, value)))


def leaves(kind: inspect.Type, path: tuple[str | int, ...]) -> Iterator[tuple[Any, inspect.Type]]:
    """Each field of a record, of the records inside it and of its lists, with its path."""
    match kind:
        case inspect.Metadata():
            yield from leaves(kind.type, path)
        case inspect.UnionType():
            for option in kind.types:
                yield from leaves(option, path)
        case inspect.StructType():
            for field in kind.fields:
                yield from leaves(field.type, (*path, field.encode_name))
        case inspect.ListType():
            yield path, kind
            yield from leaves(kind.item_type, (*path, 0))
        case inspect.NoneType():
            return
        case _:
            yield path, kind


def around(kind: Any) -> tuple[list[Any], list[Any]]:
    """Values at the bounds of a field, and just outside. A field without bounds fails."""
    match kind:
        case inspect.BoolType():
            return [True, False], [2]
        case inspect.LiteralType():
            return list(kind.values), ["something else"]
        case inspect.StrType(pattern=str()):
            return [], ["", "x"]
        case inspect.StrType():
            assert kind.max_length is not None, "a text without a longest length"
            shortest = kind.min_length or 0
            return (
                ["x" * kind.max_length, "x" * shortest],
                ["x" * (kind.max_length + 1), *(["x" * (shortest - 1)] if shortest else [])],
            )
        case inspect.BytesType():
            assert kind.max_length is not None, "bytes without a longest length"
            return [b""], []
        case inspect.ListType():
            assert kind.max_length is not None, "a list without a longest length"
            return [[]], []
        case inspect.IntType():
            assert kind.ge is not None and kind.lt is not None, "a number without bounds"
            return [kind.ge, kind.lt - 1], [kind.ge - 1, kind.lt]
        case inspect.FloatType():
            return around_float(kind)
    raise AssertionError(f"a field of a type that has no bounds: {kind}")


def around_float(kind: inspect.FloatType) -> tuple[list[float], list[float]]:
    lower, upper = (
        (kind.ge if kind.ge is not None else kind.gt),
        (kind.le if kind.le is not None else kind.lt),
    )
    assert lower is not None and upper is not None, "a number without bounds"
    below, above = math.nextafter(lower, -math.inf), math.nextafter(upper, math.inf)
    inside = [
        lower if kind.gt is None else math.nextafter(lower, math.inf),
        upper if kind.lt is None else math.nextafter(upper, -math.inf),
    ]
    return inside, [below if kind.gt is None else lower, above if kind.lt is None else upper]


def put(raw: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A copy of `raw` with `value` at the path."""
    if not path:
        return value
    copy = dict(raw) if isinstance(raw, dict) else list(raw)
    copy[path[0]] = put(copy[path[0]], path[1:], value)
    return copy


def test_bins_hold_the_usual_ages_exactly() -> None:
    assert (BIN_EDGES[:-1] < BIN_EDGES[1:]).all()
    assert {300, 900, 1800, 3600, 14400, 86400, 172800, 604800} <= set(BIN_EDGES.tolist())


def test_the_arrays_of_a_snapshot_read_back() -> None:
    packed = [np.array(values, kind).tobytes() for values, kind in (
        ([0, 2.5], "<f4"), ([-1, 0], "<i4"), ([0, 1], "<i4"), ([7, -7], "<i4"))]  # fmt: skip
    snapshot = CascadeSnapshot("s", "c", "n2", 100.0, 2.5, 2, True, *packed)
    assert snapshot.delays().tolist() == [0, 2.5]
    assert snapshot.parents().tolist() == [-1, 0]
    assert snapshot.depths().tolist() == [0, 1]
    assert snapshot.users().tolist() == [7, -7]
    assert snapshot.rest_counts().tolist() == []
    assert snapshot.observed_at == 102.5


def test_the_arrays_of_a_window_read_back() -> None:
    packed = [np.array(values, kind).tobytes() for values, kind in (
        ([2, 1], "<i4"), ([1 << 40, 0], "<i8"), ([0, 1, 0], "<i4"))]  # fmt: skip
    window = EdgeWindow("e", 600.0, 300.0, 0, 1, ["a", "b"], *packed)
    assert window.counts().tolist() == [2, 1]
    assert window.sizes().tolist() == [1 << 40, 0]
    assert window.requests().tolist() == [0, 1, 0]
    assert window.epoch == 2
