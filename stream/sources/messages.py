"""What a source yields: encoded messages in order of event time, by batches.

SourceError(TidecastError)    input that cannot be made into messages; says what to change
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from topics.catalogue import EDGE_REQUESTS, SOCIAL_EVENTS
from topics.errors import TidecastError

BATCH = 1_000  # messages; large enough to spread the cost of a batch, small enough to stop at
EVENTS = SOCIAL_EVENTS.name
REQUESTS = EDGE_REQUESTS.name


class SourceError(TidecastError):
    """Input that cannot be made into messages."""


class Message(NamedTuple):
    """One encoded record. `timestamp` is its event time, unix seconds."""

    topic: str
    key: bytes
    value: bytes
    timestamp: float


class Source(Protocol):
    """A sequence of messages in order of event time. Iterating again starts again.

    Attributes:
        name: what a person calls it, for progress bars and summaries.
        total: messages in all; None where the sequence has no end.
        begins: event time of the first message, by topic.
    """

    name: str
    total: int | None
    begins: Mapping[str, float]

    def __iter__(self) -> Iterator[list[Message]]:
        """Batches of at most `BATCH` messages, never empty."""
        ...


class Limited:
    """The first `limit` messages of a source."""

    def __init__(self, source: Source, limit: int) -> None:
        if limit < 0:
            raise SourceError(f"limit: got {limit}; expected 0 or more")
        self.source = source
        self.name = source.name
        self.begins = source.begins
        self.total: int | None = limit if source.total is None else min(limit, source.total)

    def __iter__(self) -> Iterator[list[Message]]:
        left = self.total or 0
        if not left:
            return
        for batch in self.source:
            yield batch[:left]
            left -= len(batch)
            if left <= 0:
                return
