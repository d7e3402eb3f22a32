"""Rows that are read at once are those that are looked up in what was read whole."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sources.formats import reading
from stream.sources.formats.errors import FieldError
from stream.sources.formats.mapping import Mapping, parse
from stream.sources.formats.values import lookup

PATHS = ["a", "b.a", "b.c", "c", '"d.e"', "envelope.a", "b.d[0]"]
VALUES = st.none() | st.integers(0, 3) | st.text("xy", max_size=2) | st.booleans() | st.floats(0, 1)
RECORDS = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d.e", "x"]),
    VALUES
    | st.dictionaries(st.sampled_from(["a", "c", "d"]), VALUES | st.lists(VALUES, max_size=2)),
)


@pytest.mark.parametrize("chosen", [PATHS[:-1], PATHS, ["a"], ["a", "a.b"], ["b", "c"]])
@given(record=RECORDS | VALUES | st.lists(VALUES, max_size=2))
def test_of_json(chosen: list[str], record: Any) -> None:
    mapping = parse("mine", {})
    paths, read = reading.rows([mapping], chosen)
    assert sorted(paths) == sorted(chosen)
    value = msgspec.json.encode(record)
    if record is None:
        with pytest.raises(FieldError, match="got null"):
            read(value)
        return
    found = read(value)
    assert found is not None
    looked_up = lookup([path for path in paths if path != "envelope.a"])(record)
    expected = dict(zip([path for path in paths if path != "envelope.a"], looked_up, strict=True))
    # Nothing is in an envelope where there is none.
    assert found == tuple(expected.get(path) for path in paths)


@pytest.mark.parametrize("found", [[1], {"c": 1}, [], {}])
@pytest.mark.parametrize("chosen", [["a", "b"], ["a", "b", "a[0]"]])
def test_lists_and_objects_are_nothing_however_they_are_read(chosen: list[str], found: Any) -> None:
    _, read = reading.rows([parse("mine", {})], chosen)
    row = read(msgspec.json.encode({"a": found, "b": 1}))
    assert row is not None and row[:2] == (None, 1)


PATTERN = r"(?P<a>\S+) (?P<c>\S+)(?: (?P<b>\S+))?"


@pytest.mark.parametrize("chosen", [["c", "a"], ["a", "b", "envelope.a"], ["a", "none"], ["b"]])
@given(line=st.text("ab -#", max_size=12))
def test_of_lines(chosen: list[str], line: str) -> None:
    mapping = parse("mine", {"read": {"as": "pattern", "pattern": PATTERN, "comment": "#"}})
    paths, read = reading.rows([mapping], chosen)
    whole = reading.reader([mapping])
    try:
        record = whole(line.encode())
    except FieldError:
        with pytest.raises(FieldError, match="expected a line as mine has them"):
            read(line.encode())
        return
    assert read(line.encode()) == (None if record is None else lookup(paths)(record))


def enveloped(*tables: dict[str, Any]) -> list[Mapping]:
    return [parse(f"layer-{number}", {"read": table}) for number, table in enumerate(tables)]


def test_what_is_around_a_record_is_its_envelope() -> None:
    layers = enveloped({"within": ["payload", "log"]}, {"within": ["message"]}, {})
    paths, read = reading.rows(layers, ["a", "envelope.host", "envelope.envelope.pop"])
    inner = {"host": "h", "message": '{"a": 1}'}
    for name in ("payload", "log"):
        assert read(msgspec.json.encode({name: inner, "pop": "FRA"})) == (1, "h", "FRA")
    assert paths == ["a", "envelope.host", "envelope.envelope.pop"]


def test_a_record_that_is_its_own_envelope_is_not_in_itself() -> None:
    [layer] = enveloped({"within": ["log", "."]})
    assert reading.reader([layer, parse("mine", {})])(b'{"a": 1}') == {"a": 1}


def test_a_line_that_is_no_utf_8_is_read_all_the_same() -> None:
    mapping = parse("mine", {"read": {"as": "columns", "columns": ["a", "b"], "separator": " "}})
    assert reading.reader([mapping])(b"caf\xe9 -") == {"a": "caf\\xe9", "b": None}
