"""Fetched bytes as batches of records, whatever is in them.

    aiokafka's fetcher ─► RecordBatches ─► batch ─► its records, by aiokafka's own parser
                                             └─► that fails: what can be read, and for each stretch
                                                 that cannot one record whose value is `Unreadable`

aiokafka raises at a batch that it cannot read, and does so at each attempt: a role would end, start
again, and end again, over one batch that a producer or a disk has broken. So aiokafka's splitter of
fetched bytes is replaced, for all consumers of the process at once (`harden`).

The record in place of a stretch has the stretch's last offset, so that committing it leaves the
stretch behind, no key, and for a value the batch as it came. Such a value decodes as no record of
any topic: it begins with the batch's offset, hence with a zero byte. So whoever reads treats it as
what else cannot be decoded; who writes dead letters says why it cannot (`stream.workers.ingest`).
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.control_record import ABORT_MARKER, COMMIT_MARKER, ControlRecord
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

from stream.kafka.wire.salvage import HEADER_BYTES, Gap, Header, Record, is_altered, salvaged
from stream.kafka.wire.unpacking import CodecError, UnpackError, check_codecs, unpacked
from stream.telemetry.log_lines import Seldom

log = logging.getLogger(__name__)

_LENGTH_FROM, _MAGIC_AT, _RECORDS_FROM = 8, 16, 12
# Of a batch, by its format: without key and value, or without records.
_LEAST_BYTES = {0: 26, 1: 34, 2: HEADER_BYTES}
_LARGEST_BYTES = 1 << 30  # of one batch; a greater length is a lie
_END_MARKER = struct.pack(">HH", ABORT_MARKER.version, ABORT_MARKER.type_)
_DAMAGED = "a batch that is none, or not as it was written: its checksum is another one"
_seldom = Seldom()


# Classes of error of what cannot be read: as dead letters name them.
UNREADABLE, UNKNOWN_CODEC = "UnreadableBatchError", "UnknownCodecError"


class Unreadable(bytes):
    """A batch as it came, in place of records in it that cannot be read.

    Only the first of several stretches of a batch has all of it, the others its header.

    Attributes:
        first, last: the offsets that it stands for.
        reason: why they cannot be read.
        error: the class of the error.
    """

    first: int
    last: int
    reason: str
    error: str = UNREADABLE

    def told(self, topic: str, partition: int) -> str:
        """What cannot be read, why, and what to do."""
        return (
            f"offsets {self.first} to {self.last} of {topic}/{partition} cannot be read: "
            f"{self.reason}; this is their batch as it came. Mend what wrote it, and send again "
            "what was in it"
        )


class RecordBatches:
    """The batches in what was fetched of one partition, as aiokafka's fetcher asks for them.

    Checksums are looked at always: where one is wrong nothing that the batch says of itself can be
    believed, and where it ends least of all. Reading goes on at the next one that is sound.

    Attributes:
        source: the partition, once it is known.
        expected: the next offset, likewise.
    """

    def __init__(self, fetched: bytes | memoryview) -> None:
        self.source: TopicPartition | None = None
        self.expected = 0
        self._fetched = memoryview(fetched)
        self._at = 0
        self._size = self._next_size()

    def size_in_bytes(self) -> int:
        """Of all that was fetched."""
        return len(self._fetched)

    def has_next(self) -> bool:
        """Whether there is another batch; the last one may be cut off, and is fetched again."""
        return self._size > 0

    def next_batch(self) -> _Batch | _OldBatch | _Damaged:
        """The next batch."""
        raw = self._fetched[self._at : self._at + self._size]
        self._at += self._size
        self._size = self._next_size()
        batch = _sound(raw, self.source) or self._damaged(raw)
        self.expected = batch.next_offset = max(self.expected, batch.next_offset)
        return batch

    def _damaged(self, raw: memoryview) -> _Damaged:
        """In place of a batch that is none, or not as it was written."""
        following = _sound(self._fetched[self._at : self._at + self._size], self.source)
        if isinstance(following, _Batch) and following.base_offset > self.expected:
            last = following.base_offset - 1
        else:
            self._size = 0  # what lies behind it is fetched again, from the next offset on
            last = max(self.expected, _last_told(raw))
        return _Damaged(raw, self.source, self.expected, last)

    def commits_first(self, producer_id: int) -> bool:
        """Whether the first marker of that producer that is still to come says: committed."""
        rest = RecordBatches(self._fetched[self._at :])
        while rest.has_next():
            batch = rest.next_batch()
            if isinstance(batch, _Batch) and batch.ends_transaction_of(producer_id):
                return bool(ControlRecord.parse(next(batch).key) == COMMIT_MARKER)
        return False

    def _next_size(self) -> int:
        """Bytes of the next batch; 0 where it is not there, or not whole."""
        left = len(self._fetched) - self._at
        if left < _RECORDS_FROM:
            return 0
        (length,) = struct.unpack_from(">i", self._fetched, self._at + _LENGTH_FROM)
        if not 0 < length <= _LARGEST_BYTES:
            return left  # where the next one begins, nobody can tell
        size = int(length) + _RECORDS_FROM
        return size if size <= left else 0


def _sound(raw: memoryview, source: TopicPartition | None) -> _Batch | _OldBatch | None:
    """The batch, if it is one and its checksum is right."""
    magic = raw[_MAGIC_AT] if len(raw) > _MAGIC_AT else None
    if magic is None or len(raw) < _LEAST_BYTES.get(magic, len(raw) + 1):
        return None
    if magic == 2:
        return None if is_altered(raw) else _Batch(raw, source)
    try:
        batch = LegacyRecordBatch(raw.tobytes(), magic)
        return _OldBatch(raw, source, batch) if batch.validate_crc() else None
    except Exception:  # whatever a parser says of bytes that are none of its own
        return None


def _last_told(raw: memoryview) -> int:
    """The last offset that a damaged batch states, where two of its fields agree on it; else -1."""
    if len(raw) < HEADER_BYTES:
        return -1
    header = Header.of(raw)
    return header.last_offset if header.last_offset_delta == header.records - 1 else -1


class _AnyBatch:
    """What aiokafka looks at of any batch.

    Attributes:
        next_offset: behind its last record.
    """

    producer_id: int | None = None
    is_control_batch = False
    is_transactional = False

    def __init__(self, raw: memoryview, source: TopicPartition | None, base_offset: int) -> None:
        self.base_offset = base_offset
        self.next_offset = base_offset + 1
        self._raw = raw
        self._source = source
        self._shown = False

    def validate_crc(self) -> bool:
        """That it is right; for a batch of which it is not, another stands in its place."""
        return True

    def _in_place(self, gap: Gap, timestamp: int, error: str = UNREADABLE) -> Record:
        """The record that stands for a stretch that cannot be read."""
        unreadable = Unreadable(self._raw[:HEADER_BYTES] if self._shown else self._raw)
        self._shown = True
        unreadable.first, unreadable.last, unreadable.reason = gap
        unreadable.error = error
        unsaid = _seldom.due()
        if unsaid is not None:
            log.error(
                "%s: offsets %d to %d cannot be read and are passed over: %s; %d more went unsaid",
                "?" if self._source is None else f"{self._source.topic}/{self._source.partition}",
                *gap, unsaid,
            )  # fmt: skip
        return Record(gap.last, timestamp, 0, None, unreadable, [])


class _Damaged(_AnyBatch):
    """Bytes of which nothing can be believed."""

    def __init__(
        self, raw: memoryview, source: TopicPartition | None, first: int, last: int
    ) -> None:
        super().__init__(raw, source, first)
        self.next_offset = last + 1

    def __iter__(self) -> Iterator[Record]:
        yield self._in_place(Gap(self.base_offset, self.next_offset - 1, _DAMAGED), -1)


class _OldBatch(_AnyBatch):
    """A message, or several compressed into one, of the formats 0 and 1 (before Kafka 0.11)."""

    def __init__(
        self, raw: memoryview, source: TopicPartition | None, batch: LegacyRecordBatch
    ) -> None:
        # The offset that it begins with is that of its last message.
        super().__init__(raw, source, struct.unpack_from(">q", raw)[0])
        self._batch = batch

    def __iter__(self) -> Iterator[Any]:
        try:
            for record in self._batch:
                if record.timestamp is None:  # format 0 has none
                    yield Record(record.offset, -1, 0, record.key, record.value, [])
                else:
                    yield record
        except Exception as error:  # whatever a parser says of bytes that are none of its own
            yield self._in_place(Gap(self.base_offset, self.base_offset, str(error)), -1)


class _Batch(_AnyBatch):
    """A batch of the format 2, the one that brokers have written since Kafka 0.11."""

    def __init__(self, raw: memoryview, source: TopicPartition | None) -> None:
        self._header = header = Header.of(raw)
        super().__init__(raw, source, header.base_offset)
        self.next_offset = header.last_offset + 1
        self.producer_id = header.producer_id
        self.is_control_batch = header.is_control_batch
        self.is_transactional = header.is_transactional

    def ends_transaction_of(self, producer_id: int) -> bool:
        """Whether it is the marker that ends a transaction of that producer."""
        return self.is_control_batch and self.producer_id == producer_id

    def __next__(self) -> Record:
        """The marker in a control batch.

        One that cannot be read ends the transaction of its producer all the same, as every marker
        does; whether it was aborted, the list that comes with a fetch has said before.
        """
        found: Record | None = next(iter(self), None)
        if found is None or len(found.key or b"") < len(_END_MARKER):
            return Record(self.base_offset, -1, 0, _END_MARKER, None, [])
        return found

    def __iter__(self) -> Iterator[Any]:
        header = self._header
        try:
            plain = self._plain()
        except (CodecError, UnpackError) as error:
            of_codec = isinstance(error, CodecError)
            told = UNKNOWN_CODEC if of_codec else UNREADABLE
            gap = Gap(header.base_offset, header.last_offset, str(error))
            yield self._in_place(gap, header.max_timestamp, told)
            return
        given, next_offset = 0, header.base_offset
        try:
            for record in DefaultRecordBatch(plain):
                given += 1
                next_offset = record.offset + 1
                yield record
            self.next_offset = max(self.next_offset, next_offset)  # whatever its header says
        except Exception:  # whatever a parser says of bytes that are none of its own
            for found in salvaged(header, plain[HEADER_BYTES:], given, next_offset):
                if isinstance(found, Gap):
                    yield self._in_place(found, header.max_timestamp)
                else:
                    yield found

    def _plain(self) -> bytes:
        """The batch, uncompressed."""
        header = self._header
        if not header.codec:
            return self._raw.tobytes()
        return header.plain() + unpacked(header.codec, self._raw[HEADER_BYTES:])


class _PartitionRecords(fetcher.PartitionRecords):
    """aiokafka's, which lets its batches know where they are from.

    The embedded broker lists transactions as aborted that had ended before the fetched offset, and
    what their producers have committed since would be taken for theirs. A transaction that is
    under way at that offset is over with its producer's next marker.
    """

    def __init__(
        self,
        tp: TopicPartition,
        records: RecordBatches,
        aborted: Sequence[tuple[int, int]] | None,
        fetch_offset: int,
        *options: Any,
    ) -> None:
        records.source, records.expected = tp, fetch_offset
        aborted = [
            (producer_id, first)
            for producer_id, first in aborted or ()
            if first >= fetch_offset or not records.commits_first(producer_id)
        ]
        super().__init__(tp, records, aborted, fetch_offset, *options)


def harden() -> None:
    """Makes every consumer of this process read on whatever is in a batch.

    Raises:
        CodecError: what producers compress with cannot be read here; says what to install.
    """
    check_codecs()
    fetcher.MemoryRecords = RecordBatches
    fetcher.PartitionRecords = _PartitionRecords
