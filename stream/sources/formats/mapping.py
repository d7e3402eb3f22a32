r"""Mappings as files have them: TOML, typed, every key known.

    about = "what it is, for people"

    [parameters]                   # what whoever uses it may set: NAME?edge=fra-3
    edge = "edge"

    [read]                         # how a message or a line becomes a record; JSON unless told
    as = "pattern"
    pattern = '(?P<host>\S+) (?P<bytes>\d+|-)'

    [edge.requests]                # one section a topic; [[edge.requests]] where records differ
    where = [{ path = "method", is = ["GET", "HEAD"] }]
    edge_id = "{$edge}"
    object_id = "{scheme}://{host:host}{target:path}"
    timestamp = { from = "time", time = "iso" }
    hit = { from = "cache", values = { HIT = true }, otherwise = false }

A field of a record is a path, a template (it has braces), or a table with more to say. A record of
which a condition does not hold is passed over; one that lacks what its topic requires is refused.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping as MappingOf
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from stream.sources.formats.errors import FormatError

Text = Annotated[str, Meta(min_length=1)]


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What has to hold of a value.

    Attributes:
        path: where it is.
        is_: what it may be, as text.
        not_: what it may not be.
        matches: a regular expression that has to match it from its beginning.
        present: whether it has to be there, or not.
    """

    path: Text
    is_: list[str | int | bool] | str | int | bool | None = msgspec.field(name="is", default=None)
    not_: list[str | int | bool] | str | int | bool | None = msgspec.field(name="not", default=None)
    matches: str | None = None
    present: bool | None = None


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a field comes about.

    Attributes:
        from_: paths or templates, of which the first that gives something is taken.
        value: a constant.
        time: how a time is written (`stream.sources.formats.times`).
        zone: of times that do not tell theirs.
        values: what is to stand for each of them.
        otherwise: what stands for all that `values` does not name; without it they are refused.
        default: what stands where there is nothing.
        when: conditions; where one does not hold there is nothing.
    """

    from_: list[Text] | Text = msgspec.field(name="from", default=[])
    value: str | float | int | bool | None = None
    time: str = ""
    zone: str = ""
    values: dict[str, str | float | int | bool] = {}
    otherwise: str | float | int | bool | None = None
    default: str | float | int | bool | None = None
    when: list[Condition] = []


class Read(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a message or a line becomes a record.

    Attributes:
        as_: JSON, a regular expression with named groups, or columns.
        pattern: that expression, of a whole line.
        columns: names, in order; further columns are nobody's.
        separator: of columns.
        absent: what stands where there is no value.
        comment: what lines begin with that are no records.
        within: paths in the JSON, of which the first that is there is the record, or the text of
            one: what is around it is its `envelope`.
        where: conditions of the JSON around it.
        null: what becomes of a message without a value, as a deletion has it.
        header: what stands before the JSON of a message: the five bytes of Confluent's wire format.
    """

    as_: Literal["json", "pattern", "columns"] = msgspec.field(name="as", default="json")
    pattern: str = ""
    columns: list[Text] = []
    separator: Text = "\t"
    absent: list[str] = msgspec.field(default_factory=lambda: ["-"])
    comment: str = ""
    within: list[Text] = []
    where: list[Condition] = []
    null: Literal["refuse", "skip"] = "refuse"
    header: Literal["", "confluent"] = ""


class Section(msgspec.Struct, frozen=True):
    """What becomes a topic's record.

    Attributes:
        where: conditions.
        each: path of a list, each of whose items is a record, the whole around it its `envelope`.
        fields: by name.
    """

    where: list[Condition]
    each: str
    fields: MappingOf[str, Field]


class Mapping(msgspec.Struct, frozen=True):
    """A mapping.

    Attributes:
        name: of its file, without its ending.
        digest: of its file; another one makes other records.
        about: what it is.
        parameters: that may be set, with what they are otherwise.
        read: how a message or a line becomes a record.
        topics: alternatives by topic, of which the first whose conditions hold is taken.
    """

    name: str
    digest: str
    about: str
    parameters: MappingOf[str, str]
    read: Read
    topics: MappingOf[str, list[Section]]


def read(path: Path) -> Mapping:
    """A mapping from its file.

    Raises:
        FormatError: it cannot be read, or is no mapping; says where and why.
    """
    try:
        text = path.read_text("utf-8-sig")
        content = tomllib.loads(text)
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise FormatError(f"{path}: it is not TOML: {error}") from error
    return parse(path.stem, content, hashlib.sha256(text.encode()).hexdigest()[:12])


def parse(name: str, content: MappingOf[str, Any], digest: str = "") -> Mapping:
    """A mapping from the content of its file.

    Raises:
        FormatError: it is none; says where and why.
    """
    rest = dict(content)
    about = _typed(name, "about", rest.pop("about", ""), str)
    parameters = _typed(name, "parameters", rest.pop("parameters", {}), dict[str, str])
    told = _typed(name, "read", rest.pop("read", {}), Read)
    topics: dict[str, list[Section]] = {}
    for first, inner in rest.items():
        if not isinstance(inner, dict):
            raise FormatError(
                f"{name}: unknown key {first!r}; expected about, parameters, read, and topics as "
                "[edge.requests]"
            )
        for second, sections in inner.items():
            several = sections if isinstance(sections, list) else [sections]
            topics[f"{first}.{second}"] = [
                _section(f"{name}: [{first}.{second}]", section) for section in several
            ]
    return Mapping(name, digest, about, parameters, told, topics)


def _section(place: str, content: Any) -> Section:
    if not isinstance(content, dict):
        raise FormatError(f"{place}: got {content!r}; expected a table of fields")
    rest = dict(content)
    where = _typed(place, "where", rest.pop("where", []), list[Condition])
    each = _typed(place, "each", rest.pop("each", ""), str)
    fields = {
        name: Field(from_=told) if isinstance(told, str) else _typed(place, name, told, Field)
        for name, told in rest.items()
    }
    return Section(where, each, fields)


def _typed(place: str, key: str, value: Any, type_: Any) -> Any:
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise FormatError(f"{place}: {key}: {error}") from error
