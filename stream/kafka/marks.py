"""By which a place in a log is recognised.

An offset says how far a reader has come, and nothing of the log that it came through: a topic that
was deleted and made again under its name, or restored, or cut off by a broker that lost its latest
records, has other records at the same offsets. So beside an offset goes the mark of the last record
before it: kept in checkpoints, and committed with offsets as their metadata.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

import xxhash
from aiokafka.structs import OffsetAndMetadata

_SPELLED = re.compile(r"(\d{1,19})/(-?\d{1,19})/([0-9a-f]{16})", re.ASCII)


class Message(Protocol):
    """What tells a record from any other."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def timestamp(self) -> int:
        """Its Kafka timestamp, in milliseconds."""

    @property
    def value(self) -> bytes | None:
        """Its bytes."""


class Mark(NamedTuple):
    """A record, told from any other.

    Attributes:
        timestamp: Kafka's, milliseconds.
        digest: of the value, 16 hexadecimal digits.
    """

    offset: int
    timestamp: int
    digest: str

    @classmethod
    def of(cls, record: Message) -> Mark:
        """The mark of a record."""
        digest = xxhash.xxh3_64_hexdigest(record.value or b"")
        return cls(record.offset, record.timestamp, digest)

    @classmethod
    def read(cls, text: str) -> Mark | None:
        """The mark that `spelled` wrote; None where the text is none."""
        match = _SPELLED.fullmatch(text)
        return None if match is None else cls(int(match[1]), int(match[2]), match[3])

    @property
    def spelled(self) -> str:
        """`OFFSET/TIMESTAMP/DIGEST`, ASCII of at most 60 characters."""
        return f"{self.offset}/{self.timestamp}/{self.digest}"


class Point(NamedTuple):
    """A place in the log of a partition.

    Attributes:
        offset: of the next record.
        mark: of the last record before; None where there is none, or it is not known.
    """

    offset: int
    mark: Mark | None = None

    @classmethod
    def after(cls, record: Message) -> Point:
        """The place behind a record."""
        return cls(record.offset + 1, Mark.of(record))

    @classmethod
    def committed(cls, found: OffsetAndMetadata) -> Point:
        """The place that a group has committed, by whatever wrote it."""
        return cls(found.offset, Mark.read(found.metadata or ""))

    @property
    def committable(self) -> OffsetAndMetadata:
        """What is committed for it."""
        return OffsetAndMetadata(self.offset, "" if self.mark is None else self.mark.spelled)
