"""Texts put together of a record's values: `{scheme}://{host:host}{target:path}?{query:keep=v,page}`.

In braces stands a path (`stream.sources.formats.paths`), or `$name` of a mapping's parameter;
behind colons what is done with the value, one thing after the other. `=$name` is a parameter too.

    lower               in small letters
    word=N              the N-th word, from 1: of `GET /a HTTP/1.1` the second is the target
    part=SEPARATOR,N    the N-th part, from 1, or from -1 at its end
    host                a host's name: in small letters, without the port of http and https
    path                the path of a URL or of a request's target
    query               the query of one, without its question mark
    keep=A,B            of a query, these parameters alone; `*` at an end stands for any rest
    drop=A,B            of a query, all parameters but these
    sort                of a query, its parameters in order of their names
    origin              scheme, host and port of a URL

Where any of the values is not there, or is empty, the text is not there; but no query is an empty
one, and a question mark in front of an empty one is left out. `{{` is a brace.

Sources: RFC 3986 (parts of a URL; ports that schemes stand for), RFC 9112, section 3.2 (targets).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from stream.sources.formats.bounds import as_text
from stream.sources.formats.errors import FieldError, FormatError, shown
from stream.sources.formats.paths import parse
from stream.sources.formats.values import Value, constant

Filter = Callable[[str], str]

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|([^{}]+)|(.)", re.DOTALL)
_NAMED = re.compile(r'\s*(\$\w+|(?:"[^"]+"|[^:"])+)((?::[^:]+)*)')
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)")
# What asks of an absent query is told that it is an empty one.
_OF_QUERIES = {"keep", "drop", "sort", "query"}


def is_template(text: str) -> bool:
    """Whether a text has braces: without them it is a path."""
    return "{" in text


def template(text: str, parameters: Mapping[str, str]) -> Value:
    """The text that is put together; None where a value of it is not there.

    Raises:
        FormatError: a brace without its other, a path that is none, an unknown filter.
    """
    texts: list[str | _Placeholder] = []
    for found in _PART.finditer(text):
        inside, outside, alone = found.groups()
        if alone:
            raise FormatError(f"template {text!r}: {alone!r} without its other; write it twice")
        part = outside or found[0][0]
        if inside is not None:
            part = _placeholder(inside, parameters, text)
        if part is None:  # a parameter that is empty
            return constant(None)
        texts.append(part)
    paths = tuple(part.path for part in texts if isinstance(part, _Placeholder))
    if not paths:
        return constant("".join(map(str, texts)))

    def of(*found: Any) -> str | None:
        joined, place = "", 0
        for part in texts:
            if isinstance(part, str):
                joined += part
                continue
            value, place = found[place], place + 1
            if value is None or value == "":
                if not part.is_query:
                    return None
                value = ""
            elif type(value) is not str:
                value = as_text(value)
            for filtered in part.filters:
                value = filtered(value)
            if not value and joined.endswith("?"):
                joined = joined[:-1]
            joined += value
        return joined

    filtered = any(part.filters for part in texts if isinstance(part, _Placeholder))
    return Value(paths, of, is_cheap=len(texts) == 1 and not filtered)


class _Placeholder(NamedTuple):
    """A path in a template, and what is done with its value."""

    path: str
    filters: Sequence[Filter]
    is_query: bool  # one that is not there is an empty one


def _placeholder(
    inside: str, parameters: Mapping[str, str], text: str
) -> _Placeholder | str | None:
    named = _NAMED.fullmatch(inside)
    if named is None:
        raise FormatError(f"template {text!r}: {{{inside}}} has no path before its first colon")
    name, told = named[1].strip(), named[2].split(":")[1:]
    filters = [_filter(one, parameters, text) for one in told]
    if name.startswith("$"):
        given = _parameter(name, parameters, text)
        for filtered in filters:
            given = filtered(given)
        return given or None
    parse(name)
    is_query = bool(told) and told[0].partition("=")[0].strip() in _OF_QUERIES
    return _Placeholder(name, filters, is_query)


def _parameter(name: str, parameters: Mapping[str, str], text: str) -> str:
    """What `$name` stands for."""
    if name[1:] not in parameters:
        there = ", ".join(parameters) or "none"
        raise FormatError(f"template {text!r}: no parameter {name[1:]!r}; there is {there}")
    return parameters[name[1:]]


def _filter(told: str, parameters: Mapping[str, str], text: str) -> Filter:
    name, _, argument = told.strip().partition("=")
    if name not in _FILTERS:
        raise FormatError(
            f"template {text!r}: filter {name!r}; expected one of {', '.join(_FILTERS)}"
        )
    if argument.startswith("$"):
        argument = _parameter(argument, parameters, text)
    try:
        return _FILTERS[name](argument)
    except ValueError:
        raise FormatError(
            f"template {text!r}: filter {told!r} is not as the documentation has it"
        ) from None


def _word(argument: str) -> Filter:
    number = int(argument)

    def word(value: str) -> str:
        words = value.split()
        if not 1 <= number <= len(words):
            raise FieldError(f"got {shown(value)}; expected {number} words or more")
        return words[number - 1]

    return word


def _part(argument: str) -> Filter:
    separator, _, at = argument.rpartition(",")
    number = int(at)
    if not separator or not number:
        raise ValueError

    def part(value: str) -> str:
        parts = value.split(separator)
        try:
            return parts[number - 1 if number > 0 else number]
        except IndexError:
            raise FieldError(
                f"got {shown(value)}; expected {abs(number)} parts or more between {separator!r}"
            ) from None

    return part


def _host(value: str) -> str:
    host = value.lower().removesuffix(".")
    return host.removesuffix(":443").removesuffix(":80").removesuffix(":")


def _origin(value: str) -> str:
    found = _ABSOLUTE.match(value)
    if found is None:
        raise FieldError(f"got {shown(value)}; expected a URL with its host")
    return f"{found[1].lower()}://{_host(found[2].rpartition('@')[2])}"


def _path(value: str) -> str:
    return _target(value).partition("?")[0] or "/"


def _query(value: str) -> str:
    return _target(value).partition("?")[2]


def _target(value: str) -> str:
    """Path and query of a URL, whichever of its forms it has; fragments are the client's own."""
    if not value.startswith("/") and (found := _ABSOLUTE.match(value)):
        value = value[found.end() :]
    return value.partition("#")[0] if "#" in value else value


def _parameters(value: str) -> list[str]:
    return [one for one in value.removeprefix("?").split("&") if one]


def _chosen(argument: str, keep: bool) -> Filter:
    names = [name.strip() for name in argument.split(",") if name.strip()]
    exact = {name for name in names if not name.endswith("*")}
    beginnings = tuple(name[:-1] for name in names if name.endswith("*"))

    def chosen(value: str) -> str:
        if not value:
            return value
        found = []
        for one in _parameters(value):
            name = one.partition("=")[0]
            if (name in exact or name.startswith(beginnings)) is keep:
                found.append(one)
        return "&".join(found)

    return chosen


def _sorted(value: str) -> str:
    return "&".join(sorted(_parameters(value)))


_FILTERS: dict[str, Callable[[str], Filter]] = {
    "lower": lambda _: str.lower,
    "word": _word,
    "part": _part,
    "host": lambda _: _host,
    "path": lambda _: _path,
    "query": lambda _: _query,
    "keep": lambda names: _chosen(names, True),
    "drop": lambda names: _chosen(names, False),
    "sort": lambda _: _sorted,
    "origin": lambda _: _origin,
}
