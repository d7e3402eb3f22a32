"""Bytes to records and back.

A batch is decoded by mapping the compiled decoder over its values, with no Python between one
value and the next. Joining the values into one document and decoding that is no faster (with
msgspec 0.22, a few per cent slower), and would let a crafted value swallow its neighbour. Only
when a batch does not decode is each value looked at alone, to find the bad ones. Then, too, what
may stand before JSON is taken away: the header of a schema registry, a byte order mark.

    DecodeError(ValueError)    a value that is not the topic's record; says what and where, and
                               what the value looks like
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

from topics.likeness import cause, unwrapped

Encoding = Literal["json", "msgpack"]
T = TypeVar("T")
# TypeError: a null value. RecursionError: a value nested too deep.
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError)


class DecodeError(ValueError):
    """A value that does not decode as the topic's record."""


class BadValue(NamedTuple):
    """A value of a batch that could not be decoded."""

    position: int
    error: DecodeError


class Codec(Generic[T]):
    """Encodes and decodes one record type (or a tagged union of them).

    >>> from topics.records import ModelUpdate
    >>> codec = Codec(ModelUpdate, "json")
    >>> update = ModelUpdate("concat", "1", "file:///models/1", "sha256:" + "0" * 64)
    >>> codec.decode(codec.encode(update)) == update
    True
    """

    def __init__(self, record: Any, encoding: Encoding) -> None:
        self.record = record
        self.encoding = encoding
        library: Any = msgspec.json if encoding == "json" else msgspec.msgpack
        self._encode = library.Encoder().encode
        self._decode_one = library.Decoder(record).decode

    def encode(self, record: T) -> bytes:
        """The record as bytes."""
        encoded: bytes = self._encode(record)
        return encoded

    def decode(self, value: bytes | None) -> T:
        """The record in `value`.

        Raises:
            DecodeError: the value is null, not in the encoding, or outside the record's bounds.
        """
        if value is None:
            raise DecodeError("the value is null; a record is expected")
        plain = self._plain(value)
        try:
            record: T = self._decode_one(plain)
        except _UNDECODABLE as error:
            told = str(error)
            if self.encoding == "json":
                told += cause(plain, self.record, told)
            raise DecodeError(told) from error
        return record

    def _plain(self, value: bytes) -> bytes:
        return unwrapped(value) if self.encoding == "json" else value

    def decode_batch(self, values: Sequence[bytes | None]) -> tuple[list[T], list[BadValue]]:
        """The records of a batch in order, without the bad ones, and the bad ones by position."""
        try:
            return list(map(self._decode_one, values)), []
        except _UNDECODABLE:
            records, bad = [], []
        plain = [value if value is None else self._plain(value) for value in values]
        if plain != values:  # all of a producer's are wrapped, as a rule, and nothing else is wrong
            try:
                return list(map(self._decode_one, plain)), []
            except _UNDECODABLE:
                values = plain
        for index, value in enumerate(values):
            try:
                records.append(self.decode(value))
            except DecodeError as error:
                bad.append(BadValue(index, error))
        return records, bad
