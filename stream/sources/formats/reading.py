"""From the bytes of a message, or a line, to what a mapping looks its paths up in."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from stream.sources.formats.conditions import all_hold
from stream.sources.formats.errors import FieldError, FormatError, shown
from stream.sources.formats.mapping import Mapping
from stream.sources.formats.paths import getter, parse
from stream.sources.formats.values import lookup, plain, remembered
from topics.likeness import HEADER_BYTES, schema_id, unwrapped

ENVELOPE = "envelope"  # the name, in a record, of what was around it
Reader = Callable[[bytes], Any]
Rows = Callable[[bytes], tuple[Any, ...] | None]
_NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
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
    layers = [(_parser(mapping), _entry(mapping)) for mapping in mappings]
    if layers[-1][1] is not None:  # what is in the last is of no other
        layers.append((_parsed, None))
    if len(layers) == 1:
        return layers[0][0]

    def read(value: Any) -> Any:
        around = record = None
        for parsed, entered in layers:
            record = parsed(value)
            if record is None:
                return None
            if isinstance(record, dict) and around is not None and around is not record:
                record.setdefault(ENVELOPE, around)
            if entered is not None:
                value = entered(record)
                if value is None:
                    return None
                around = record
        return record

    return read


def _parser(mapping: Mapping) -> Reader:
    told = mapping.read
    if told.as_ == "pattern":
        return _by_pattern(mapping)
    if told.as_ == "columns":
        return _by_columns(mapping)
    if told.header == "confluent":
        return lambda value: _parsed(_behind_header(value))
    return _parsed


def _entry(mapping: Mapping) -> Callable[[Any], Any] | None:
    """What gives what is within an envelope, None where that is to be passed over."""
    told = mapping.read
    if not told.within:
        return None
    holds = all_hold(told.where, mapping.name)
    look_up, counts = lookup(holds.paths), remembered(holds.of)
    places = [getter(path) for path in told.within]

    def enter(record: Any) -> Any:
        if not counts(*look_up(record)):
            return None
        for place in places:
            if (found := place(record)) is not None:
                return found
        raise FieldError(f"nothing at {' or '.join(told.within)}")

    return enter


def rows(mappings: Sequence[Mapping], paths: Sequence[str]) -> tuple[list[str], Rows]:
    """What reads of a message what lies at some paths, and no more where that is quicker.

    Args:
        mappings: as for `reader`.
        paths: what is looked for.

    Returns:
        The paths in the order of the rows; a function of a message's bytes that gives a row, and
        None for what is to be passed over.
    """
    read = reader(mappings)
    if len(mappings) == 1:
        # Without an envelope nothing is in one.
        there = [path for path in paths if not path.startswith(f"{ENVELOPE}.")]
        ordered = [*there, *(path for path in paths if path not in there)]
        empty = (None,) * (len(paths) - len(there))
        [mapping] = mappings
        if mapping.read.as_ == "pattern":
            of_groups = _rows_of_groups(mapping, there, empty)
            if of_groups is not None:
                return ordered, of_groups
        if mapping.read.as_ == "json" and not (mapping.read.within or mapping.read.header):
            structs = _structs([parse(path) for path in there])
            if structs is not None:
                return ordered, _rows_of_json(read, lookup(ordered), *structs, empty)
    look_up = lookup(paths)

    def of_records(value: bytes) -> tuple[Any, ...] | None:
        record = read(value)
        return None if record is None else look_up(record)

    return list(paths), of_records


def _rows_of_groups(mapping: Mapping, names: Sequence[str], empty: tuple[None, ...]) -> Rows | None:
    """Takes the groups of a line that are looked for; None where they are no groups, or one."""
    matched, absent = _Matcher(mapping), frozenset([*mapping.read.absent, None])
    if len(names) < 2 or not matched.groups.issuperset(names):
        return None

    def of_groups(value: bytes) -> tuple[Any, ...] | None:
        found = matched(value)
        if found is None:
            return None
        return (*[None if text in absent else text for text in found.group(*names)], *empty)

    return of_groups


def _rows_of_json(
    read: Reader, look_up: Callable[[Any], tuple[Any, ...]], type_: type, attributes: list[str],
    empty: tuple[None, ...],
) -> Rows:  # fmt: skip
    """Decodes nothing but what is looked for; what is of another shape is read whole."""
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(type_).decode
    get = attrgetter(*attributes)

    def of_json(value: bytes) -> tuple[Any, ...] | None:
        try:
            return plain(get(decode(value))) + empty
        except _NO_JSON:
            return look_up(read(value))

    return of_json


def _structs(paths: Sequence[tuple[str | int, ...]]) -> tuple[type, list[str]] | None:
    """A type that has these paths alone, and where each is in it.

    None where a path counts the items of a list, or goes on where another one ends, and where there
    are fewer than two.
    """
    tree: dict[str, Any] = {}
    attributes = []
    for steps in paths:
        names = [step for step in steps if isinstance(step, str)]
        if not names or len(names) != len(steps):
            return None
        node, places = tree, []
        for step in names[:-1]:
            place, node = node.setdefault(step, (len(node), {}))
            places.append(place)
            if node is None:
                return None
        place, leaf = node.setdefault(names[-1], (len(node), None))
        if leaf is not None:
            return None
        attributes.append(".".join(f"f{number}" for number in [*places, place]))
    return (_struct(tree), attributes) if len(paths) > 1 else None


def _struct(tree: dict[str, Any]) -> type:
    fields: list[Any] = []
    for place, inner in tree.values():
        if inner is None:
            fields.append((f"f{place}", Any, None))
        else:
            type_ = _struct(inner)
            fields.append((f"f{place}", type_, msgspec.field(default_factory=type_)))
    names = {f"f{place}": name for name, (place, _) in tree.items()}
    return msgspec.defstruct("Read", fields, rename=names, gc=False)


def _behind_header(value: Any) -> Any:
    if not isinstance(value, bytes) or schema_id(value) is None:
        raise FieldError(
            f"got {shown(value)}; expected the header of Confluent's wire format: a zero byte and "
            "the schema's id in four"
        )
    return value[HEADER_BYTES:]


def _parsed(value: Any) -> Any:
    """What is in JSON, unless it is parsed already; null is nothing that there could be."""
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        try:
            found = _json(value)
        except _NO_JSON:
            try:
                found = _json(unwrapped(value))
            except _NO_JSON as error:
                raise FieldError(f"got {shown(value)}; expected JSON: {error}") from error
        if found is None:
            raise FieldError("got null; expected an object")
        return found
    return value


def _line(value: Any, comment: str) -> str | None:
    """A line, without its end; None if it is a comment."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            value = value.decode("utf-8", "backslashreplace")
    if not isinstance(value, str):
        raise FieldError(f"got {shown(value)}; expected a line of text")
    line = value.rstrip("\r\n")
    return None if comment and line.startswith(comment) else line


class _Matcher:
    """Matches whole lines with a mapping's pattern; what it gives is None for a comment.

    Attributes:
        groups: their names.
    """

    def __init__(self, mapping: Mapping) -> None:
        try:
            pattern = re.compile(mapping.read.pattern)
        except re.error as error:
            raise FormatError(f"{mapping.name}: pattern: {error}") from error
        if not pattern.groupindex:
            raise FormatError(f"{mapping.name}: pattern: it names no group, as in (?P<host>...)")
        self.groups = frozenset(pattern.groupindex)
        self._match = pattern.fullmatch
        self._name, self._comment = mapping.name, mapping.read.comment

    def __call__(self, value: Any) -> re.Match[str] | None:
        line = _line(value, self._comment)
        if line is None:
            return None
        found = self._match(line)
        if found is None:
            raise FieldError(f"got {shown(line, 200)}; expected a line as {self._name} has them")
        return found


def _by_pattern(mapping: Mapping) -> Callable[[Any], Any]:
    matched, absent = _Matcher(mapping), frozenset(mapping.read.absent)

    def by_pattern(value: Any) -> Any:
        found = matched(value)
        if found is None:
            return None
        return {name: None if text in absent else text for name, text in found.groupdict().items()}

    return by_pattern


def _by_columns(mapping: Mapping) -> Callable[[Any], Any]:
    told = mapping.read
    if not told.columns:
        raise FormatError(f"{mapping.name}: columns: none are named")
    absent, comment, names = frozenset(told.absent), told.comment, told.columns

    def by_columns(value: Any) -> Any:
        line = _line(value, comment)
        if line is None:
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
