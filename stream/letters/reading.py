"""What `dead.letters` holds, told by what is wrong and where it came from.

A letter is the original message with headers that a role wrote. The bytes, the key and parts of the
headers come from whoever sent the message, so nothing in them is relied on, and nothing of them
reaches a terminal unescaped (`printable`).

    LettersError(TidecastError)    what is asked for is not there, or cannot be sent back
"""

from __future__ import annotations

import codecs
import re
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property

from aiokafka import ConsumerRecord, TopicPartition

from stream.kafka.broker import partitions
from stream.kafka.past import END, batches
from stream.kafka.reader import reader
from stream.settings import Settings
from stream.workers.publishing.output import REDRIVEN
from topics.catalogue import DEAD_LETTERS, REDRIVEN_LETTERS
from topics.errors import TidecastError

# Groups that are told apart; letters of still others are counted together.
MAX_GROUPS = 500
OTHERS = "(other reasons)"
# What differs from message to message in a reason: what is quoted, and numbers.
_PARTICULAR = re.compile(r"'[^']*'|\"[^\"]*\"|(?<![$\w.])-?\d[\d.,]*(?:e[+-]?\d+)?")
_LONGEST_REASON = 200

# Where a letter lies on `dead.letters`: partition and offset.
Place = tuple[int, int]


class LettersError(TidecastError):
    """What is asked for is not there, or cannot be sent back."""


@dataclass(frozen=True)
class Letter:
    """One message of `dead.letters`. What a header does not say is empty."""

    record: ConsumerRecord

    @cached_property
    def headers(self) -> dict[str, str]:
        """Header values as text; bytes that are none are escaped."""
        return {
            name: (value or b"").decode(errors="backslashreplace")
            for name, value in self.record.headers
        }

    @property
    def place(self) -> Place:
        """Partition and offset on `dead.letters`."""
        return self.record.partition, self.record.offset

    @property
    def timestamp(self) -> float:
        """Kafka timestamp of the original message, unix seconds; 0 where a header has none."""
        text = self.headers.get("timestamp", "")
        return int(text) / 1000 if re.fullmatch(r"\d{1,18}", text, re.ASCII) else 0.0

    @property
    def topic(self) -> str:
        """Topic of the original message."""
        return self.headers.get("topic", "")

    @property
    def partition(self) -> int:
        """Partition of the original message; 0 where the header is no number."""
        text = self.headers.get("partition", "")
        return int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else 0

    @property
    def role(self) -> str:
        """The role that could not use it."""
        return self.headers.get("role", "")

    @property
    def error(self) -> str:
        """Class of the error."""
        return self.headers.get("error", "")

    @property
    def reason(self) -> str:
        """What is wrong, without what is particular to this message."""
        return general(self.headers.get("message", ""))

    @property
    def is_cut(self) -> bool:
        """Whether it lacks some of the original key or value."""
        return "cut" in self.headers

    @property
    def redriven(self) -> int:
        """How often it had been sent back when it failed; a mark that is no number counts as 1."""
        text = self.headers.get(REDRIVEN)
        if text is None:
            return 0
        return int(text) if re.fullmatch(r"[1-9]\d{0,3}", text, re.ASCII) else 1


def general(message: str) -> str:
    """A reason with what is quoted as `'…'` and numbers as `#`, so that like ones are the same."""
    shortened = _PARTICULAR.sub(lambda m: "'…'" if m[0][0] in "'\"" else "#", message)
    return shortened if len(shortened) <= _LONGEST_REASON else shortened[:_LONGEST_REASON] + "…"


def spelled(place: Place) -> str:
    """A place as it is typed: `partition/offset`."""
    return f"{place[0]}/{place[1]}"


def printable(text: str, keep: str = "") -> str:
    """The text with all that could act on a terminal escaped, apart from characters in `keep`."""
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )


def shown(data: bytes, limit: int) -> str:
    """Key or value of a message: text as text, anything else in hex; `limit` bytes at most."""
    part = data[:limit]
    try:
        # A character that the limit cuts in two is left away.
        text = codecs.getincrementaldecoder("utf-8")().decode(part, final=len(part) == len(data))
        body = printable(text, keep="\n\t")
    except UnicodeDecodeError:
        body = "\n".join(
            f"{at:08x}  {line.hex(' '):<47}  "
            + "".join(chr(b) if 32 <= b < 127 else "." for b in line)
            for at in range(0, len(part), 16)
            for line in [part[at : at + 16]]
        )
    rest = len(data) - len(part)
    return f"{body}\n… and {rest:,} bytes more" if rest else body


@dataclass
class Group:
    """Letters that are alike.

    Attributes:
        count: how many there are.
        came_back: of these, failed again after they had been sent back.
        redriven: of these, sent back since.
        first, last: Kafka timestamps of the original messages, unix seconds.
        example: place of the latest that was read.
        message: what its role said.
    """

    error: str
    reason: str
    role: str
    topic: str
    first: float
    last: float
    example: Place
    message: str
    count: int = 0
    came_back: int = 0
    redriven: int = 0

    def add(self, letter: Letter, redriven: bool) -> None:
        """Counts one more."""
        self.count += 1
        self.came_back += letter.redriven > 0
        self.redriven += redriven
        self.first = min(self.first, letter.timestamp)
        self.last = max(self.last, letter.timestamp)
        self.example, self.message = letter.place, letter.headers.get("message", "")


class Groups:
    """Letters grouped by error, reason, role and topic. `redriven`: places that were sent back."""

    def __init__(self, redriven: Iterable[Place] = ()) -> None:
        self._redriven = frozenset(redriven)
        self._groups: dict[tuple[str, str, str, str], Group] = {}

    def add(self, letter: Letter) -> None:
        """Counts a letter in."""
        key = letter.error, letter.reason, letter.role, letter.topic
        if key not in self._groups and len(self._groups) >= MAX_GROUPS:
            key = "", OTHERS, "", ""
        group = self._groups.get(key)
        if group is None:
            at = letter.timestamp
            group = self._groups[key] = Group(*key, at, at, letter.place, "")
        group.add(letter, letter.place in self._redriven)

    def listed(self) -> list[Group]:
        """The groups, largest first."""
        return sorted(self._groups.values(), key=lambda g: (-g.count, g.error, g.reason, g.topic))


async def bounds(settings: Settings) -> dict[TopicPartition, tuple[int, int]]:
    """First and end offset of each partition of `dead.letters` now.

    Raises:
        BrokerError: no broker answers, or the topic is missing.
    """
    sources = await partitions(settings, [DEAD_LETTERS.name, REDRIVEN_LETTERS.name])
    sources = [source for source in sources if source.topic == DEAD_LETTERS.name]
    async with reader(settings) as consumer:
        firsts = await consumer.beginning_offsets(sources)
        ends = await consumer.end_offsets(sources)
    return {source: (firsts[source], ends[source]) for source in sources}


async def read(
    settings: Settings,
    within: dict[TopicPartition, tuple[int, int]],
    chosen: Callable[[Letter], bool],
    advance: Callable[[int], None],
) -> AsyncGenerator[list[Letter], None]:
    """The chosen letters within the bounds, batch by batch. Whoever leaves it early closes it.

    Args:
        advance: told how many letters were looked at.
    """
    for source, (first, end) in within.items():
        if first == end:
            continue
        held = batches(settings, DEAD_LETTERS, source.partition, first, end)
        async with aclosing(held):
            async for records in held:
                letters = [Letter(record) for record in records]
                yield [letter for letter in letters if chosen(letter)]
                advance(len(records))


async def letter_at(settings: Settings, place: Place) -> Letter:
    """The letter at a place.

    Raises:
        LettersError: there is none.
    """
    held = {source.partition: limits for source, limits in (await bounds(settings)).items()}
    partition, offset = place
    found: list[ConsumerRecord] = []
    first, end = held.get(partition, (0, 0))
    if first <= offset < end:
        async for records in batches(settings, DEAD_LETTERS, partition, offset, offset + 1):
            found += records
    if not found:
        told = ", ".join(
            f"{number}/{first} to {number}/{end - 1}"
            for number, (first, end) in sorted(held.items())
            if first < end
        )
        raise LettersError(
            f"no dead letter at {spelled(place)}; {settings.kafka} holds {told or 'none at all'}. "
            "`tidecast dead-letters list` names an example of each kind"
        )
    return Letter(found[0])


async def redriven_places(settings: Settings) -> set[Place]:
    """Places of the letters that were sent back, as `redriven.letters` has them."""
    places: set[Place] = set()
    async for records in batches(settings, REDRIVEN_LETTERS, 0, 0, END):
        for record in records:
            sent = REDRIVEN_LETTERS.codec.decode(record.value)
            places.add((sent.partition, sent.offset))
    return places
