"""One valid record of each type, and a strategy that draws any."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from topics.catalogue import CATALOGUE, Topic
from topics.contract import records

PLACES = [(topic, record) for topic in CATALOGUE.values() for record in records(topic)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `topic` and `record` runs for every record of every topic."""
    if {"topic", "record"} <= set(metafunc.fixturenames):
        metafunc.parametrize(("topic", "record"), PLACES, ids=[r.__name__ for _, r in PLACES])


@pytest.fixture
def example(topic: Topic, record: type[msgspec.Struct]) -> msgspec.Struct:
    """A record with a plain value in every field."""
    return msgspec.convert(_plain(msgspec.inspect.type_info(record)), record)


@pytest.fixture
def any_record(record: type[msgspec.Struct]) -> st.SearchStrategy[msgspec.Struct]:
    return _any(msgspec.inspect.type_info(record))


def _plain(kind: Any) -> Any:
    match kind:
        case msgspec.inspect.StructType():
            fields = {field.name: _plain(field.type) for field in kind.fields}
            return fields | ({kind.tag_field: kind.tag} if kind.tag_field else {})
        case msgspec.inspect.UnionType():
            return _plain(kind.types[0])
        case msgspec.inspect.Metadata():
            return _plain(kind.type)
        case msgspec.inspect.StrType(pattern="^[na][0-9]{1,12}$"):
            return "n10"
        case msgspec.inspect.StrType(pattern="^sha256:[0-9a-f]{64}$"):
            return "sha256:" + "0" * 64
        case msgspec.inspect.StrType():
            return "a"
        case msgspec.inspect.BytesType():
            return b"\0\0\0\0"
        case msgspec.inspect.LiteralType():
            return kind.values[0]
        case msgspec.inspect.ListType():
            return [_plain(kind.item_type)]
        case msgspec.inspect.BoolType():
            return True
    return 1


def _any(kind: Any) -> st.SearchStrategy[Any]:
    match kind:
        case msgspec.inspect.StructType():
            return st.builds(kind.cls, **{f.encode_name: _any(f.type) for f in kind.fields})
        case msgspec.inspect.UnionType():
            return st.one_of(*map(_any, kind.types))
        case msgspec.inspect.Metadata():
            return _any(kind.type)
        case msgspec.inspect.StrType(pattern=str(pattern)):
            return st.from_regex(pattern.replace("$", r"\Z"))
        case msgspec.inspect.StrType():
            return st.text(min_size=kind.min_length or 0, max_size=kind.max_length)
        case msgspec.inspect.BytesType():
            return st.binary(max_size=64)
        case msgspec.inspect.LiteralType():
            return st.sampled_from(kind.values)
        case msgspec.inspect.ListType():
            return st.lists(_any(kind.item_type), max_size=8)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.NoneType():
            return st.none()
        case msgspec.inspect.IntType():
            return st.integers(kind.ge, kind.lt - 1 if kind.lt is not None else kind.le)
    lower, upper = (bound if bound is not None else other
                    for bound, other in ((kind.ge, kind.gt), (kind.le, kind.lt)))  # fmt: skip
    return st.floats(lower, upper, exclude_min=kind.gt is not None, exclude_max=kind.lt is not None)
