"""Values as functions of what lies at some paths of a record.

A record's values are looked up once, as a row, and what is made of them is a function of a part of
it. The same texts come again and again in a log (an object's address, a status), so what costs more
than looking it up is remembered, up to a bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from stream.sources.formats.paths import getter, parse

_HOLDERS = (dict, list)
REMEMBERED = 1 << 16  # results of a format; some 30 MB of addresses


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
    """What lies at a path; an empty text is nothing.

    Raises:
        FormatError: it is no path.
    """
    parse(path)
    return Value((path,), lambda found: None if found == "" else found)


def first(values: Sequence[Value]) -> Value:
    """The first of several that is there."""
    known: list[Value] = []
    for value in values:
        if value.paths:
            known.append(value)
        elif value.of() is not None:  # the same for every record: none after it counts
            known.append(value)
            break
    if not known:
        return constant(None)
    if len(known) == 1:
        return known[0]
    parts = _parts(known)

    def of(*found: Any) -> Any:
        for value, part in parts:
            if (result := value(*found[part])) is not None:
                return result
        return None

    return Value(_paths(known), of, all(value.is_cheap for value in known))


def together(values: Sequence[Value], join: Callable[..., Any]) -> Value:
    """What is made of several."""
    parts = _parts(values)

    def of(*found: Any) -> Any:
        return join(*[value(*found[part]) for value, part in parts])

    if not any(value.paths for value in values):
        return constant(of())
    return Value(_paths(values), of, is_cheap=False)


def _paths(values: Iterable[Value]) -> tuple[str, ...]:
    return tuple(path for value in values for path in value.paths)


def _parts(values: Iterable[Value]) -> list[tuple[Callable[..., Any], slice]]:
    parts, begin = [], 0
    for value in values:
        parts.append((value.of, slice(begin, begin + len(value.paths))))
        begin += len(value.paths)
    return parts


def paths_of(values: Iterable[Value]) -> list[str]:
    """The paths that several values look at, each once."""
    return list(dict.fromkeys(path for value in values for path in value.paths))


def lookup(paths: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """What looks paths up in a record: a row."""
    getters = [getter(path) for path in paths]
    return lambda record: plain(tuple([get(record) for get in getters]))


def plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row without lists and objects: nothing is made of them, and they cannot be remembered."""
    try:
        hash(row)
    except TypeError:
        return tuple([None if type(found) in _HOLDERS else found for found in row])
    return row


def computed(value: Value, paths: Sequence[str]) -> Callable[[tuple[Any, ...]], Any]:
    """What computes a value of rows.

    Args:
        value: what is computed.
        paths: what a row holds, in order.
    """
    of, pick = value.of, picked(value.paths, paths)
    return lambda row: of(*pick(row))


def remembered(of: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, its results kept, of what rows hold."""
    return lru_cache(REMEMBERED, typed=True)(of)


def picked(
    paths: Sequence[str], row: Sequence[str]
) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """What picks what lies at some paths of a row, always as a tuple.

    Args:
        paths: that are picked, in order.
        row: what it holds, in order.
    """
    places = [row.index(path) for path in paths]
    if len(places) > 1:
        return itemgetter(*places)
    begin = places[0] if places else 0
    return itemgetter(slice(begin, begin + len(places)))
