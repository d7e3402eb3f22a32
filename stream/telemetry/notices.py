"""What a role notices about its input that no dead letter can say, and how it reaches the operator.

    note ─► the log, at once and then seldom
        ├─► tidecast_noticed_total
        └─► role.notices, the latest of each key every few seconds ─► gateway, doctor

Results are not made of notices, so they go beside the batches: one that cannot be published holds
up nothing, and is tried again with the next. `KINDS` has what can be noticed and what to do then;
a notice itself says what was seen and what that does to results.

    NoticeError(ValueError)    a kind that there is not
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from prometheus_client import CollectorRegistry, Counter, Gauge

from stream.telemetry.log_lines import Seldom
from topics.catalogue import ROLE_NOTICES, notice_key
from topics.records import RoleNotice

log = logging.getLogger(__name__)

_PUBLISH_SECONDS = 5.0  # between two notices of one key
_LOG_SECONDS = 60.0  # between two lines about one key
_LOOK_SECONDS = 1.0
_LAST_SECONDS = 5.0  # that a stop waits for the last ones
_LONGEST = 1_000  # characters of a message, as the record has it


class NoticeError(ValueError):
    """A kind that there is not."""


class Kind(NamedTuple):
    """Something that can be noticed: what it is, and what to do about it."""

    what: str
    to_do: str


KINDS: dict[str, Kind] = {
    "no_key": Kind(
        "messages without a key",
        "Set the key in the producer: cascade_id for events, edge_id for requests, as UTF-8 text.",
    ),
    "foreign_key": Kind(
        "messages under a key that is not the id in them",
        "Set the key in the producer to cascade_id (events) or edge_id (requests), as plain UTF-8 "
        "text: no quotes, no JSON, no header of a serialiser.",
    ),
    "scattered": Kind(
        "a cascade or an edge in several partitions",
        "Give all messages of one the same key (cascade_id, edge_id), and all producers the same "
        "partitioner. Where partitions were added it ends by itself, once what was live then is "
        "closed.",
    ),
    "log_replaced": Kind(
        "a topic that was made anew, or cut off",
        "Nothing, if it was meant: the new log is read from its beginning. If not, look at who "
        "may delete topics, and whether brokers lost their disks.",
    ),
    "records_lost": Kind(
        "records that were removed before they were read",
        "Keep the topic for longer (retention.ms, retention.bytes), or start more workers of "
        "the role.",
    ),
    "unreadable_batch": Kind(
        "a batch of records that cannot be read",
        "Look at the disks of the brokers and at the producer; what was in it has to be sent "
        "again.",
    ),
    "unread_codec": Kind(
        "records compressed by a codec that nobody knows here",
        "Set compression.type in the producer or the topic to gzip, snappy, lz4 or zstd; what was "
        "in them has to be sent again.",
    ),
    "too_large": Kind(
        "messages that their topic does not take, for their size",
        "Raise max.message.bytes of the topic to what message_bytes says, or more: "
        "kafka-configs.sh --alter --entity-type topics. What was not published lies on "
        "dead.letters.",
    ),
    "open_transaction": Kind(
        "a transaction that stays open",
        "Look at the producer: a transaction has to end within seconds. Where it is gone, "
        "kafka-transactions.sh find-hanging names the transaction and abort ends it.",
    ),
    "clock_ahead": Kind(
        "messages from a clock that is ahead",
        "Set the clock of the producer (ntpd, chronyd), or let the broker stamp messages: "
        "message.timestamp.type=LogAppendTime.",
    ),
    "behind_watermark": Kind(
        "events that are older than what is closed already",
        "Send older events into topics of their own, or before the newer ones.",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Noticed:
    """What the handler of a partition has noticed; where, its caller knows."""

    kind: str
    message: str
    count: int = 1
    offset: int | None = None


@dataclass
class _Entry:
    """What is known of one key."""

    notice: RoleNotice
    unpublished: bool = True
    due: float = 0.0  # monotonic clock
    seldom: Seldom = field(default_factory=lambda: Seldom(_LOG_SECONDS))


class Notices:
    """Takes what a role notices, in whatever thread, and publishes it by the role's producer.

    >>> notices = Notices("tracker", "0", CollectorRegistry())
    >>> notices.note("no_key", "social.events", 3, "120 events without a key", count=120)
    >>> [(notice.kind, notice.count) for notice in notices.due()]
    [('no_key', 120)]
    """

    def __init__(self, role: str, instance: str, registry: CollectorRegistry) -> None:
        self._role = role
        self._instance = instance
        self._entries: dict[tuple[str, str, int], _Entry] = {}
        self._lock = Lock()
        self._producer: Callable[[], AIOKafkaProducer]
        self._publishing: asyncio.Task[None] | None = None
        self._counted = Counter(
            "tidecast_noticed_total",
            "What a role noticed about its input that results suffer from",
            ["role", "kind", "topic", "partition"], registry=registry,
        )  # fmt: skip
        self._latest = Gauge(
            "tidecast_noticed_timestamp_seconds",
            "When a role last noticed it, unix time",
            ["role", "kind", "topic", "partition"], registry=registry,
        )  # fmt: skip

    def note(
        self,
        kind: str,
        topic: str,
        partition: int,
        message: str,
        *,
        count: int = 1,
        offset: int | None = None,
    ) -> None:
        """Takes note of something in a partition; as cheap as a line that is not logged.

        Args:
            kind: one of `KINDS`.
            message: what was seen, and what that does to results; the latest one is told.
            count: how many messages it is about.
            offset: the latest of them, where it is about one.

        Raises:
            NoticeError: a kind that there is not.
        """
        if kind not in KINDS:
            raise NoticeError(f"got the kind {kind!r}; known are {', '.join(KINDS)}")
        now = time.time()
        message = message[:_LONGEST]
        with self._lock:
            entry = self._entries.get((kind, topic, partition))
            earlier = None if entry is None else entry.notice
            notice = RoleNotice(
                self._role, self._instance, kind, topic, partition,
                count + (earlier.count if earlier else 0),
                earlier.first_at if earlier else now, now, message, offset,
            )  # fmt: skip
            if entry is None:
                entry = self._entries[kind, topic, partition] = _Entry(notice)
            entry.notice, entry.unpublished = notice, True
        self._counted.labels(self._role, kind, topic, partition).inc(count)
        self._latest.labels(self._role, kind, topic, partition).set(now)
        if entry.seldom.due() is not None:
            log.warning(
                "%s/%d: %s (%d so far). %s",
                topic, partition, message, notice.count, KINDS[kind].to_do,
                extra={"kind": kind, "source": f"{topic}/{partition}"},
            )  # fmt: skip

    def latest(self) -> list[RoleNotice]:
        """What was noticed so far, of each key the latest."""
        with self._lock:
            return [entry.notice for entry in self._entries.values()]

    def due(self, *, all_of_them: bool = False) -> list[RoleNotice]:
        """What is to be published now; each key again only after a while.

        Args:
            all_of_them: those too whose turn it is not yet.
        """
        now = time.monotonic()
        with self._lock:
            entries = [
                entry
                for entry in self._entries.values()
                if entry.unpublished and (all_of_them or entry.due <= now)
            ]
            for entry in entries:
                entry.unpublished, entry.due = False, now + _PUBLISH_SECONDS
            return [entry.notice for entry in entries]

    def start(self, producer: Callable[[], AIOKafkaProducer]) -> None:
        """Publishes what is due from now on, by the producer as it is then."""
        self._producer = producer
        self._publishing = asyncio.create_task(self._publish())

    async def stop(self) -> None:
        """Publishes the last ones, if the broker takes them soon; nothing where it never began."""
        if self._publishing is None:
            return
        self._publishing.cancel()
        [ended] = await asyncio.gather(self._publishing, return_exceptions=True)
        if not isinstance(ended, asyncio.CancelledError):
            log.error("notices were not published any more", exc_info=ended)
        self._publishing = None
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                await self._send(self.due(all_of_them=True))
        except TimeoutError:
            log.warning("the last notices could not be published within %g s", _LAST_SECONDS)

    async def _publish(self) -> None:
        while True:
            await self._send(self.due())
            await asyncio.sleep(_LOOK_SECONDS)

    async def _send(self, notices: list[RoleNotice]) -> None:
        producer = self._producer()
        for notice in notices:
            key = notice_key(notice.role, notice.kind, notice.topic, notice.partition)
            value = ROLE_NOTICES.codec.encode(notice)
            try:
                await producer.send_and_wait(ROLE_NOTICES.name, value, key=key)
            except MessageSizeTooLargeError as error:
                log.error("a notice of %d bytes was not taken (%s); it is in the log alone",
                          len(value), error)  # fmt: skip
            except KafkaError as error:
                log.warning("a notice was not taken (%s); it is sent again", error)
                with self._lock:
                    self._entries[notice.kind, notice.topic, notice.partition].unpublished = True
