"""Dead letters sent back to where they came from, once what made them fail has been mended.

A letter goes back with its original key and bytes to its original topic and partition, as a new
message: its Kafka timestamp is now. What would only fail again stays where it is, and so does what
might do harm. Each letter is sent at most once: what was sent is noted on `redriven.letters` when
the broker has it. (A run that is killed between the two repeats one batch at most; an event that
comes twice is counted once, a request twice.)

A message that was sent back says so in its headers, and so does the letter that is written if it
fails again. Such a letter is sent back only when that is forced, and never after `MAX_ROUNDS`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from stream.kafka import broker
from stream.kafka.access.security import connection
from stream.kafka.wire.batches import UNKNOWN_CODEC, UNREADABLE
from stream.letters import reading as letters
from stream.letters.reading import Letter, Place
from stream.settings import Settings
from stream.sources.formats import format as formats
from stream.workers.publishing.output import REDRIVEN, REDRIVEN_FROM, TOO_LARGE
from stream.workers.publishing.packing import size_alone
from topics import consistency
from topics.catalogue import (
    CASCADE_SNAPSHOTS,
    CATALOGUE,
    EDGE_REQUESTS,
    EDGE_WINDOWS,
    READS,
    REDRIVEN_LETTERS,
    SOCIAL_EVENTS,
    WORKED_OFF,
    WRITTEN,
)
from topics.codecs import DecodeError
from topics.records import LetterRedriven

MAX_ROUNDS = 3
# Errors that a look at the message alone finds again if they are still there.
_SEEN_IN_THE_MESSAGE = ("DecodeError", "OversizedError", "InFutureError", "MessageTimeError")


class Objection(NamedTuple):
    """Why a letter should not be sent back; where it is `final`, not even if that is forced."""

    reason: str
    final: bool = False


@dataclass
class Refused:
    """Letters that were not sent for one reason, and the place of one of them."""

    example: Place
    count: int = 0


@dataclass
class Redriven:
    """What became of the letters: `sent` by topic, `refused` by reason."""

    sent: Counter[str] = field(default_factory=Counter)
    refused: dict[Objection, Refused] = field(default_factory=dict)
    already: int = 0


_CUT = Objection("it was larger than a message may be, and is cut", True)


def objection(letter: Letter, settings: Settings, now: float) -> Objection | None:
    """Why the letter should not be sent back at `now`, unix seconds; None if nothing is in the way.

    Args:
        settings: what the roles run with; `event_bytes` and `clock_skew` decide here too.
    """
    if letter.error == TOO_LARGE and letter.topic in WRITTEN:
        if letter.is_cut:
            return _CUT
        return Objection("its topic did not take it then, and has newer ones by now")
    if letter.topic not in READS.get(letter.role, ()):
        return Objection("its headers name no topic with a role that works it off", True)
    topic = CATALOGUE[letter.topic]
    if letter.error in (UNREADABLE, UNKNOWN_CODEC):
        return Objection(
            "it is a batch that could not be read, not a message: send again what was in it", True
        )
    if letter.is_cut:
        return _CUT
    if letter.redriven >= MAX_ROUNDS:
        return Objection(f"it has come back {MAX_ROUNDS} times", True)
    if letter.redriven:
        return Objection("it was sent back before and failed again")
    if "compact" in topic.cleanup:
        return Objection("its topic is compacted: it would take the place of a newer record")
    if letter.error not in _SEEN_IN_THE_MESSAGE:
        return Objection(
            f"{letter.error} depends on what the role holds, which the message does not show"
        )
    reason = still_wrong(letter, settings, now)
    return None if reason is None else Objection(f"it would fail again: {letters.general(reason)}")


def still_wrong(letter: Letter, settings: Settings, now: float) -> str | None:
    """What a role would object to in the message itself if it came at `now`, unix seconds."""
    value, topic = letter.record.value, CATALOGUE[letter.topic]
    from_outside = topic in (SOCIAL_EVENTS, EDGE_REQUESTS)
    if from_outside and len(value or b"") > settings.event_bytes:
        return f"{len(value)} bytes; at most {settings.event_bytes} are read (setting event_bytes)"
    try:
        records = formats.records(settings, topic, value)
    except DecodeError as error:
        return str(error)
    for record in records if from_outside else ():
        if record.timestamp > now + settings.clock_skew:
            return f"timestamp {record.timestamp} is still to come"
    if topic is CASCADE_SNAPSHOTS:
        return consistency.of_snapshot(records[0])
    if topic is EDGE_WINDOWS:
        return consistency.of_window(records[0])
    return None


async def redrive(
    settings: Settings,
    chosen: Callable[[Letter], bool],
    *,
    force: bool = False,
    dry_run: bool = False,
    begin: Callable[[int], None] = lambda total: None,
    advance: Callable[[int], None] = lambda count: None,
) -> Redriven:
    """Sends back the chosen letters that are there now, and says what became of each.

    Args:
        force: send also what would fail again or has come back.
        dry_run: send nothing.
        begin: told how many letters there are.
        advance: told how many more were looked at.

    Raises:
        BrokerError: no broker answers, or a topic is missing.
        KafkaError: the broker refused a message; what was sent before is noted.
    """
    goes_to = {*WORKED_OFF, *WRITTEN}
    counts = Counter(source.topic for source in await broker.partitions(settings, goes_to))
    takes = await broker.configured(settings, goes_to, broker.MESSAGE_LIMIT)
    within = await letters.bounds(settings)
    already = await letters.redriven_places(settings)
    begin(sum(end - first for first, end in within.values()))
    done = Redriven()
    producer = AIOKafkaProducer(
        **connection(settings),
        acks="all",
        enable_idempotence=True,
        # Two marks come on top of a message that may be as large as any.
        max_request_size=2 * settings.message_bytes,
    )
    read = letters.read(settings, within, chosen, advance)
    async with producer, aclosing(read):
        async for batch in read:
            cleared = [
                letter
                for letter in batch
                if _cleared(letter, settings, already, force, done) and _fits(letter, takes, done)
            ]
            if not dry_run:
                await _send(producer, cleared, counts)
            done.sent.update(letter.topic for letter in cleared)
    return done


def _cleared(
    letter: Letter, settings: Settings, already: set[Place], force: bool, done: Redriven
) -> bool:
    """Whether the letter may go; if not, that is counted."""
    if letter.place in already:
        done.already += 1
        return False
    found = objection(letter, settings, time.time())
    if found is None or (force and not found.final):
        return True
    done.refused.setdefault(found, Refused(letter.place)).count += 1
    return False


def _fits(letter: Letter, takes: Mapping[str, str], done: Redriven) -> bool:
    """Whether its topic takes a message of that size; if not, that is counted."""
    size = size_alone(letter.record.key, letter.record.value, _marks(letter))
    limit = takes.get(letter.topic)
    if limit is None or size <= int(limit):
        return True
    found = Objection(
        f"its topic takes at most {limit} bytes at once ({broker.MESSAGE_LIMIT})", True
    )
    done.refused.setdefault(found, Refused(letter.place)).count += 1
    return False


async def _send(
    producer: AIOKafkaProducer, cleared: Sequence[Letter], partitions: Mapping[str, int]
) -> None:
    """Sends messages back, and notes of each that it was sent once the broker has it."""
    outcomes = await asyncio.gather(
        *[_send_back(producer, letter, partitions[letter.topic]) for letter in cleared],
        return_exceptions=True,
    )
    now = time.time()
    await asyncio.gather(
        *[
            producer.send_and_wait(
                REDRIVEN_LETTERS.name,
                REDRIVEN_LETTERS.codec.encode(LetterRedriven(*letter.place, letter.topic, now)),
                key=letters.spelled(letter.place).encode(),
            )
            for letter, outcome in zip(cleared, outcomes, strict=True)
            if not isinstance(outcome, BaseException)
        ]
    )
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


async def _send_back(producer: AIOKafkaProducer, letter: Letter, partitions: int) -> None:
    await producer.send_and_wait(
        letter.topic,
        letter.record.value,
        key=letter.record.key,
        # Where it was: what belongs together lies there, whatever partitioner its writer uses.
        partition=letter.partition % partitions,
        headers=_marks(letter),
    )


def _marks(letter: Letter) -> list[tuple[str, bytes]]:
    """The headers by which it is known that it was sent back."""
    return [
        (REDRIVEN, str(letter.redriven + 1).encode()),
        (REDRIVEN_FROM, letters.spelled(letter.place).encode()),
    ]
