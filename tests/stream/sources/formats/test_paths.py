"""Paths: what they name, and that nothing is found where nothing is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sources.formats.errors import FormatError
from stream.sources.formats.paths import getter, parse

RECORD = {
    "a": {"b": [{"c": 1}, {"c": 2}]},
    "a.b": 3,
    "@timestamp": 4,
    "cs(Host)": 5,
    "null": None,
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b[0].c", 1),
        ("a.b[-1].c", 2),
        ('"a.b"', 3),
        ("@timestamp", 4),
        ("cs(Host)", 5),
        ("a.b[2].c", None),
        ("a.c.d", None),
        ("a.b.c", None),
        ("null", None),
        ("null.b", None),
        ("@timestamp.b", None),
    ],
)
def test_a_path_finds_what_is_there(path: str, value: Any) -> None:
    assert getter(path)(RECORD) == value


def test_a_point_is_the_record_itself() -> None:
    assert getter(".")(RECORD) is RECORD


@pytest.mark.parametrize("path", ["", "a..b", "a.", ".a", "a[b]", "a[0", 'a."b', "a{b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(FormatError, match="names with dots between them"):
        parse(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)


@given(JSON, st.sampled_from(["a", "a.b", "a[0].b", "b[-1]", "c.c.c", "[0]"]))
def test_nothing_that_json_holds_breaks_a_getter(record: Any, path: str) -> None:
    getter(path)(record)
