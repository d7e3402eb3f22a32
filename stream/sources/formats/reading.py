"""From the bytes of a message, or a line, to what a mapping looks its paths up in."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from stream.sources.formats.conditions import all_hold
from stream.sources.formats.errors import FieldError, FormatError, shown
from stream.sources.formats.mapping import Mapping
from stream.sources.formats.paths import getter
from stream.sources.formats.values import Row
from topics.likeness import HEADER_BYTES, schema_id, unwrapped

ENVELOPE = "envelope"  # the name, in a record, of what was around it
Reader = Callable[[bytes], Any]
_json = msgspec.json.Decoder().decode


def reader(mappings: Sequence[Mapping]) -> Reader:
    """What takes the envelopes of a message off, one in the other, and reads what is in the last.

    Args:
        mappings: from the outermost to the one whose sections are filled in.

    Returns:
        A function of a message's bytes that gives a record; None for what is to be passed over.

    Raises:
        FormatError: one says of its lines what cannot be.
    """
    inner: Callable[[Any], Any] | None = None
    for mapping in reversed(mappings):
        inner = _layer(mapping, inner)
    assert inner is not None
    return inner


def _layer(mapping: Mapping, inner: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    told, name = mapping.read, mapping.name
    if told.as_ == "pattern":
        return _by_pattern(mapping)
    if told.as_ == "columns":
        return _by_columns(mapping)
    holds = all_hold(told.where, name)
    counts = Row([holds]).of
    places = [getter(path) for path in told.within]
    has_header = told.header == "confluent"

    def layer(value: Any) -> Any:
        record = _parsed(_behind_header(value) if has_header else value)
        if not places:
            return record
        if counts(record) != [True]:
            return None
        for place in places:
            if (found := place(record)) is not None:
                inside = inner(found) if inner else _parsed(found)
                if isinstance(inside, dict) and inside is not record:
                    inside.setdefault(ENVELOPE, record)
                return inside
        raise FieldError(f"nothing at {' or '.join(told.within)}")

    return layer


def _behind_header(value: Any) -> Any:
    if not isinstance(value, bytes) or schema_id(value) is None:
        raise FieldError(
            f"got {shown(value)}; expected the header of Confluent's wire format: a zero byte and "
            "the schema's id in four"
        )
    return value[HEADER_BYTES:]


def _parsed(value: Any) -> Any:
    """JSON, unless it is parsed already."""
    if isinstance(value, bytes):
        try:
            return _json(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            try:
                return _json(unwrapped(value))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise FieldError(f"got {shown(value)}; expected JSON: {error}") from error
    if isinstance(value, str):
        return _parsed(value.encode())
    return value


def _text(value: Any) -> str:
    """A line, without its end."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            value = value.decode("utf-8", "backslashreplace")
    if not isinstance(value, str):
        raise FieldError(f"got {shown(value)}; expected a line of text")
    return value.rstrip("\r\n")


def _by_pattern(mapping: Mapping) -> Callable[[Any], Any]:
    told = mapping.read
    try:
        matched = re.compile(told.pattern).fullmatch
    except re.error as error:
        raise FormatError(f"{mapping.name}: pattern: {error}") from error
    if not re.compile(told.pattern).groupindex:
        raise FormatError(f"{mapping.name}: pattern: it names no group, as in (?P<host>...)")
    absent, comment = frozenset(told.absent), told.comment

    def by_pattern(value: Any) -> Any:
        line = _text(value)
        if comment and line.startswith(comment):
            return None
        found = matched(line)
        if found is None:
            raise FieldError(f"got {shown(line, 200)}; expected a line as {mapping.name} has them")
        return {name: None if text in absent else text for name, text in found.groupdict().items()}

    return by_pattern


def _by_columns(mapping: Mapping) -> Callable[[Any], Any]:
    told = mapping.read
    if not told.columns:
        raise FormatError(f"{mapping.name}: columns: none are named")
    absent, comment, names = frozenset(told.absent), told.comment, told.columns

    def by_columns(value: Any) -> Any:
        line = _text(value)
        if comment and line.startswith(comment):
            return None
        cells = line.split(told.separator)
        if len(cells) < len(names):
            raise FieldError(
                f"got {len(cells)} columns in {shown(line, 200)}; expected {len(names)} or more"
            )
        return {
            name: None if cell in absent else cell for name, cell in zip(names, cells, strict=False)
        }

    return by_columns
