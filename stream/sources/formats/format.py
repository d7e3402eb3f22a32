"""A format: what turns messages, or lines, of somebody else's into a topic's records.

It is called by a name, `nginx-combined`, or by the path of a mapping's file. Envelopes that are
around it stand before it, and parameters behind: `filebeat+nginx-combined?edge=fra-3&scheme=https`.
`native` is the topic's own record, which an envelope may be around.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from stream.settings import Settings
from stream.sources.formats import mapping, reading
from stream.sources.formats.errors import FieldError, FormatError
from stream.sources.formats.fields import Maker
from stream.sources.formats.mapping import Mapping, Section
from stream.sources.formats.paths import getter
from stream.sources.formats.values import lookup
from topics.catalogue import CATALOGUE, EDGE_REQUESTS, SOCIAL_EVENTS, Topic
from topics.codecs import BadValue, DecodeError

_SETTINGS = {SOCIAL_EVENTS.name: "social_format", EDGE_REQUESTS.name: "requests_format"}
Records = Callable[[bytes], list[Any]]
PRESETS = Path(__file__).with_name("presets")
NATIVE = "native"


class Decoded(NamedTuple):
    """What became of a batch of messages.

    Attributes:
        records: in order.
        positions: in the batch, of the message that each is of.
        bad: messages that no record can be made of.
        skipped: how many are none that count.
    """

    records: list[Any]
    positions: list[int]
    bad: list[BadValue]
    skipped: int


@dataclass(frozen=True)
class Format:
    """A mapping that is ready to be used, for one topic.

    Attributes:
        name: as it was called.
        topic: whose records come of it.
        mappings: from the outermost envelope to the one whose sections are filled in.
    """

    name: str
    topic: Topic
    mappings: Sequence[Mapping]
    _records: Records

    @property
    def identity(self) -> str:
        """What its records depend on beside the messages: its name, and what its files say."""
        return " ".join([self.name, *(one.digest for one in self.mappings)])

    def records(self, value: bytes | None) -> list[Any]:
        """The records of one message or line; none where it is not one that counts.

        Raises:
            FieldError: it is not as the format has them; says which field, and why.
        """
        if value is None:
            if any(one.read.null == "skip" for one in self.mappings):
                return []
            raise FieldError("the value is null; a record is expected")
        return self._records(value)

    def decode_batch(self, values: Sequence[bytes | None]) -> Decoded:
        """The records of messages, and which cannot be made into any."""
        records, positions, bad = list[Any](), list[int](), list[BadValue]()
        skipped, records_of = 0, self._records
        for position, value in enumerate(values):
            try:
                found = self.records(None) if value is None else records_of(value)
            except FieldError as error:
                bad.append(BadValue(position, DecodeError(f"format {self.name}: {error}")))
                continue
            if not found:
                skipped += 1
            for record in found:
                records.append(record)
                positions.append(position)
        return Decoded(records, positions, bad, skipped)


def chosen(settings: Settings, topic: Topic) -> Format | None:
    """The format in which the messages of an input topic are; None where they are its records.

    Raises:
        FormatError: the setting names none that can be used.
    """
    setting = _SETTINGS.get(topic.name)
    name = getattr(settings, setting) if setting else ""
    try:
        return _kept(name, topic.name) if name else None
    except FormatError as error:
        raise FormatError(f"{setting}: {error}") from error


@lru_cache
def _kept(name: str, topic: str) -> Format:
    return find(name, CATALOGUE[topic])


def records(settings: Settings, topic: Topic, value: bytes | None) -> list[Any]:
    """The records of one message: by the format of its topic, else the one that it is.

    Raises:
        DecodeError: it is none; says why.
    """
    form = chosen(settings, topic)
    if form is None:
        return [topic.codec.decode(value)]
    try:
        return form.records(value)
    except FieldError as error:
        raise DecodeError(str(error)) from error


def depends_on(settings: Settings, topic: Topic) -> dict[str, str]:
    """What the records of an input topic depend on beside its messages, by a setting's name."""
    form = chosen(settings, topic)
    return {} if form is None else {_SETTINGS[topic.name]: form.identity}


def find(name: str, topic: Topic) -> Format:
    """A format by its name or by the path of its file, for a topic.

    Raises:
        FormatError: there is none of that name, it has no section for the topic, or its mapping
            cannot be used; says what there is.
    """
    envelopes, last, told = _parted(name)
    mappings = [_mapping(one) for one in envelopes]
    inner = None if last == NATIVE else _mapping(last)
    for one in mappings:
        if not one.read.within:
            raise FormatError(
                f"format {name!r}: {one.name} is around nothing; expected an envelope before the "
                "plus sign, which says what is within it"
            )
    whole = [*mappings, *([] if inner is None else [inner])]
    parameters = _parameters(name, told, whole)
    if inner is None:
        if not whole:
            raise FormatError(f"format {name!r}: {NATIVE} needs none; leave the setting empty")
        made = _native(whole, topic)
    elif not inner.topics:
        raise FormatError(
            f"format {name!r}: {inner.name} is an envelope; expected what is in it, such as "
            f"{inner.name}+{NATIVE}"
        )
    elif topic.name not in inner.topics:
        raise FormatError(
            f"format {name!r}: it makes no records of {topic.name}, but of "
            f"{', '.join(inner.topics)}"
        )
    else:
        place = f"{inner.name}: [{topic.name}]"
        made = _of_sections(place, whole, topic, parameters)
    return Format(name, topic, whole, made)


def _parted(name: str) -> tuple[list[str], str, str]:
    """The envelopes in a format's name, what is in them, and the parameters."""
    called, _, told = name.partition("?")
    *envelopes, last = called.split("+")
    return envelopes, last, told


def _parameters(name: str, told: str, mappings: Sequence[Mapping]) -> dict[str, str]:
    """All parameters that mappings have, with what is told of them or what they are otherwise."""
    try:
        given = dict(parse_qsl(told, keep_blank_values=True, strict_parsing=bool(told)))
    except ValueError:
        raise FormatError(
            f"format {name!r}: parameters {told!r}; expected NAME=VALUE, with & between several"
        ) from None
    known = {key: value for one in mappings for key, value in one.parameters.items()}
    if unknown := given.keys() - known.keys():
        raise FormatError(
            f"format {name!r}: no parameter {', '.join(sorted(unknown))}; there is "
            f"{', '.join(known) or 'none'}"
        )
    return known | given


def topics_of(name: str) -> list[str]:
    """The topics that a format makes records of.

    Raises:
        FormatError: there is none of that name, or it is no mapping.
    """
    _, last, _ = _parted(name)
    return list(_SETTINGS) if last == NATIVE else list(_mapping(last).topics) or list(_SETTINGS)


def presets() -> list[Mapping]:
    """The mappings that ship, by name."""
    return [mapping.read(path) for path in sorted(PRESETS.glob("*.toml"))]


def file_of(name: str) -> Path:
    """The file of a format that ships.

    Raises:
        FormatError: there is none of that name.
    """
    if not (shipped := PRESETS / f"{name}.toml").is_file():
        known = ", ".join(sorted(file.stem for file in PRESETS.glob("*.toml")))
        raise FormatError(
            f"format {name!r}: there is none of that name; expected the path of a .toml file, or "
            f"one of {known}"
        )
    return shipped


def _mapping(name: str) -> Mapping:
    return mapping.read(Path(name) if name.endswith(".toml") else file_of(name))


def _native(whole: Sequence[Mapping], topic: Topic) -> Records:
    read = reading.reader(whole)

    def native(value: bytes) -> list[Any]:
        record = read(value)
        if record is None:
            return []
        if isinstance(record, dict):
            record.pop(reading.ENVELOPE, None)
        try:
            return [msgspec.convert(record, topic.codec.record)]
        except msgspec.ValidationError as error:
            raise FieldError(str(error)) from error

    return native


def _of_sections(
    place: str, whole: Sequence[Mapping], topic: Topic, parameters: dict[str, str]
) -> Records:
    sections = whole[-1].topics[topic.name]
    makers = [Maker(place, section, topic.codec.record, parameters) for section in sections]
    if any(section.each for section in sections):
        return _of_lists(whole, sections, makers)
    wanted = list(dict.fromkeys(path for maker in makers for path in maker.paths))
    paths, read = reading.rows(whole, wanted)
    alternatives = [maker.made(paths) for maker in makers]

    def of_rows(value: bytes) -> list[Any]:
        row = read(value)
        if row is not None:
            for make in alternatives:
                if (made := make(row)) is not None:
                    return [made]
        return []

    return of_rows


def _of_lists(
    whole: Sequence[Mapping], sections: Sequence[Section], makers: Sequence[Maker]
) -> Records:
    read = reading.reader(whole)
    several = [
        (section.each, lookup(maker.paths), maker.made(maker.paths))
        for section, maker in zip(sections, makers, strict=True)
    ]

    def of_lists(value: bytes) -> list[Any]:
        record = read(value)
        if record is None:
            return []
        for place, look_up, make in several:
            items = _items(record, place) if place else [record]
            if found := [made for one in items if (made := make(look_up(one))) is not None]:
                return found
        return []

    return of_lists


def _items(record: Any, place: str) -> list[Any]:
    """The items of a list, each with what is around it."""
    found = getter(place)(record)
    if not isinstance(found, list):
        raise FieldError(f"nothing that is a list at {place}")
    return [{**one, reading.ENVELOPE: record} if isinstance(one, dict) else one for one in found]
