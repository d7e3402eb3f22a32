"""From a section of a mapping to what makes a topic's record of a record that was read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from stream.sources.formats import times
from stream.sources.formats.bounds import as_text, taker
from stream.sources.formats.conditions import all_hold
from stream.sources.formats.errors import FieldError, FormatError, shown
from stream.sources.formats.mapping import Field, Section
from stream.sources.formats.templates import is_template, template
from stream.sources.formats.values import (
    Value,
    at,
    computed,
    constant,
    first,
    paths_of,
    picked,
    remembered,
    together,
)

Make = Callable[[tuple[Any, ...]], Any]
# Of a topic's record, those that are times.
TIMES = ("timestamp", "published_at")


class Maker:
    """What makes a topic's record of a record that was read.

    Attributes:
        paths: what it looks at.
    """

    def __init__(
        self, place: str, section: Section, record: Any, parameters: Mapping[str, str]
    ) -> None:
        """
        Args:
            place: where the section stands, for errors.
            section: of the mapping.
            record: the type of the topic's records.
            parameters: of the mapping, by name.

        Raises:
            FormatError: it names a field that the record does not have, lacks one that it requires,
                or says of one what cannot be.
        """
        known = {field.name: field for field in msgspec.structs.fields(record)}
        if unknown := section.fields.keys() - known.keys():
            raise FormatError(
                f"{place}: no field {', '.join(sorted(unknown))}; a record of this topic has "
                f"{', '.join(known)}"
            )
        required = {name for name, field in known.items() if field.required}
        if missing := required - section.fields.keys():
            raise FormatError(f"{place}: a record of this topic needs {', '.join(sorted(missing))}")
        self._record = record
        self._counts = all_hold(section.where, place)
        self._values = [
            _field(f"{place}: {name}", field, section.fields[name], parameters)
            if name in section.fields
            else constant(field.default)
            for name, field in known.items()
        ]
        self.paths = paths_of([self._counts, *self._values])

    def made(self, paths: Sequence[str]) -> Make:
        """What makes one of a row of these paths.

        It gives None where a condition does not hold, and raises FieldError for what nothing can be
        made of.
        """
        # What is found again is found at once; what seldom comes again is made each time.
        often = [(place, value) for place, value in enumerate(self._values) if not value.is_cheap]
        wanted = paths_of([self._counts, *(value for _, value in often)])
        counts = computed(self._counts, wanted)
        again = [(place, computed(value, wanted)) for place, value in often]
        empty = [None if value.paths else value.of() for value in self._values]

        def settle(*found: Any) -> list[Any] | None:
            if not counts(found):
                return None
            values = empty.copy()
            for place, value in again:
                values[place] = value(found)
            return values

        settled, pick = remembered(settle), picked(wanted, paths)
        each = [
            (place, computed(value, paths))
            for place, value in enumerate(self._values)
            if value.is_cheap and value.paths
        ]
        record = self._record

        def make(row: tuple[Any, ...]) -> Any:
            known = settled(*pick(row))
            if known is None:
                return None
            values = known.copy()
            for place, value in each:
                values[place] = value(row)
            return record(*values)

        return make


def _field(place: str, field: Any, told: Field, parameters: Mapping[str, str]) -> Value:
    """A field's value, within the bounds of the record."""
    value, type_, name = _value(place, field, told, parameters), field.type, field.name
    missing, taken = None if field.required else field.default, taker(type_)
    absent = " or ".join(value.paths) + _to_give(told, parameters)

    def of(*found: Any) -> Any:
        try:
            if (result := value.of(*found)) is not None:
                return taken(result)
        except FieldError as error:
            raise FieldError(f"{name}: {error}") from error
        if field.required:
            raise FieldError(f"{name}: no text or number at {absent}")
        return missing

    return value._replace(of=of)


def _to_give(told: Field, parameters: Mapping[str, str]) -> str:
    """Parameters of a field that are not given, as an advice."""
    empty = {name for name, value in parameters.items() if not value}
    named = [name for name in re.findall(r"\{\$(\w+)", str(told.from_)) if name in empty]
    return f"; it may be given: ?{named[0]}=..." if named else ""


def _value(place: str, field: Any, told: Field, parameters: Mapping[str, str]) -> Value:
    """What a mapping says of a field."""
    sources = [told.from_] if isinstance(told.from_, str) else told.from_
    if bool(sources) == (told.value is not None):
        raise FormatError(f"{place}: expected one of from and value")
    if told.value is not None:
        return _when(place, told, constant(told.value))
    try:
        looked_up = first(
            [template(one, parameters) if is_template(one) else at(one) for one in sources]
        )
        turned = _turned(field, told)
    except FormatError as error:
        raise FormatError(f"{place}: {error}") from error
    default = told.default
    if turned is None and default is None:
        return _when(place, told, looked_up)

    def of(*found: Any) -> Any:
        result = looked_up.of(*found)
        if result is None:
            return default
        return result if turned is None else turned(result)

    has_table = bool(told.values) or told.otherwise is not None
    return _when(place, told, Value(looked_up.paths, of, looked_up.is_cheap and not has_table))


def _when(place: str, told: Field, value: Value) -> Value:
    if not told.when:
        return value
    held = all_hold(told.when, place)
    return together([held, value], lambda holds, made: made if holds else told.default)


def _turned(field: Any, told: Field) -> Callable[[Any], Any] | None:
    """What turns what was found into what is meant, if anything does."""
    if told.values or told.otherwise is not None:
        return _of_table(told)
    if told.time or told.zone or field.name in TIMES:
        return times.reader(told.time or "any", told.zone)
    return None


def _of_table(told: Field) -> Callable[[Any], Any]:
    table, otherwise = told.values, told.otherwise

    def of_table(found: Any) -> Any:
        named = table.get(as_text(found), otherwise)
        if named is None:
            raise FieldError(f"got {shown(found)}; expected one of {', '.join(table)}")
        return named

    return of_table
