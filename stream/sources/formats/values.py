"""Values as functions of what lies at some paths of a record.

A record's values are looked up once, as a row; a field is computed of its part of the row. The same
texts come again and again in a log (an object's address, a status, a second), so what costs more
than looking it up is remembered, up to a bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from stream.sources.formats.paths import getter, parse

_HOLDERS = (dict, list)
REMEMBERED = 1 << 16  # results of one field; some 10 MB of addresses


class Value(NamedTuple):
    """A value, by what it is made of.

    Attributes:
        paths: what it looks at.
        of: what it makes of what is there, in that order; None is what is not there.
        is_cheap: whether making it costs less than remembering it.
    """

    paths: tuple[str, ...]
    of: Callable[..., Any]
    is_cheap: bool = True


def constant(value: Any) -> Value:
    """The same whatever the record is."""
    return Value((), lambda: value)


def at(path: str) -> Value:
    """What lies at a path; an empty text is nothing, and so are lists and objects.

    Raises:
        FormatError: it is no path.
    """
    parse(path)
    return Value((path,), lambda found: None if found == "" or type(found) in _HOLDERS else found)


def first(values: Sequence[Value]) -> Value:
    """The first of several that is there."""
    if len(values) == 1:
        return values[0]
    parts = _parts(values)

    def of(*found: Any) -> Any:
        for value, part in parts:
            if (result := value(*found[part])) is not None:
                return result
        return None

    return Value(_paths(values), of, is_cheap=False)


def together(values: Sequence[Value], join: Callable[..., Any]) -> Value:
    """What is made of several."""
    parts = _parts(values)

    def of(*found: Any) -> Any:
        return join(*[value(*found[part]) for value, part in parts])

    return Value(_paths(values), of, is_cheap=False)


def _paths(values: Iterable[Value]) -> tuple[str, ...]:
    return tuple(path for value in values for path in value.paths)


def _parts(values: Iterable[Value]) -> list[tuple[Callable[..., Any], slice]]:
    parts, begin = [], 0
    for value in values:
        parts.append((value.of, slice(begin, begin + len(value.paths))))
        begin += len(value.paths)
    return parts


class Row:
    """Computes several values of a record; each path is looked up once."""

    def __init__(self, values: Sequence[Value]) -> None:
        paths = list(dict.fromkeys(path for value in values for path in value.paths))
        steps = {path: parse(path) for path in paths}
        flat = [path for path in paths if len(steps[path]) == 1 and type(steps[path][0]) is str]
        deep = [path for path in paths if path not in flat]
        self._names = [steps[path][0] for path in flat]
        self._getters = [_scalar(path) for path in deep]
        self._all = [getter(path) for path in [*flat, *deep]]
        places = {path: place for place, path in enumerate([*flat, *deep])}
        picks = [_picked([places[path] for path in value.paths]) for value in values]
        self._anew = [(value.of, pick) for value, pick in zip(values, picks, strict=True)]
        self._kept = [
            (
                of if value.is_cheap or not value.paths else lru_cache(REMEMBERED, typed=True)(of),
                pick,
            )
            for value, (of, pick) in zip(values, self._anew, strict=True)
        ]

    def of(self, record: Any) -> list[Any]:
        """The values, in their order."""
        if type(record) is dict:
            deep = [look_up(record) for look_up in self._getters]
            row = (*map(record.get, self._names), *deep)
        else:
            row = tuple([look_up(record) for look_up in self._all])
        try:
            return [of(*pick(row)) for of, pick in self._kept]
        except TypeError:  # a list or an object cannot be remembered
            return [of(*pick(row)) for of, pick in self._anew]


def _scalar(path: str) -> Callable[[Any], Any]:
    """What lies at a path unless it is a list or an object, which could not be remembered."""
    look_up = getter(path)
    return lambda record: None if type(found := look_up(record)) in _HOLDERS else found


def _kept(value: Value) -> Callable[..., Any]:
    if value.is_cheap or not value.paths:
        return value.of
    return lru_cache(REMEMBERED, typed=True)(value.of)


def _picked(places: Sequence[int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """What picks some of a row, always as a tuple."""
    if len(places) > 1:
        return itemgetter(*places)
    begin = places[0] if places else 0
    return itemgetter(slice(begin, begin + len(places)))
