"""Records of a batch that is not as it should be: all that can be read, and what cannot.

Kafka's record format, magic 2 (KIP-98, KIP-82), read without trust: a record that contradicts
itself is passed over by its length, and where no length can be believed the rest is given up. This
is the slow path. `stream.kafka.wire.batches` comes here when the fast one has failed, once a batch.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka.record.util import calc_crc32c

_FIELDS = struct.Struct(">qiibIhiqqqhii")
HEADER_BYTES = _FIELDS.size
_CHECKED_FROM = 21  # what the checksum covers begins behind it
_CODEC, _LOG_APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
_LONGEST_NUMBER = 10  # bytes of a number of 64 bits, seven bits in each


class Header(NamedTuple):
    """What a batch says of itself: 61 bytes before its records. Timestamps are milliseconds."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    checksum: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: int

    @classmethod
    def of(cls, raw: memoryview) -> Header:
        """The header of a batch of at least `HEADER_BYTES`."""
        return cls(*_FIELDS.unpack_from(raw))

    @property
    def last_offset(self) -> int:
        """Of its records; not before the first, whatever it says."""
        return self.base_offset + max(0, self.last_offset_delta)

    @property
    def codec(self) -> int:
        """Number of the codec that its records are compressed by; 0 for none."""
        return self.attributes & _CODEC

    @property
    def log_append_time(self) -> bool:
        """Whether the broker has stamped all records, with the header's latest timestamp."""
        return bool(self.attributes & _LOG_APPEND_TIME)

    @property
    def is_transactional(self) -> bool:
        """Whether a transaction wrote it."""
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def is_control_batch(self) -> bool:
        """Whether the broker wrote it, to say how a transaction ended."""
        return bool(self.attributes & _CONTROL)

    def plain(self) -> bytes:
        """The header of the same records uncompressed. Its checksum is no longer right."""
        return _FIELDS.pack(*self._replace(attributes=self.attributes & ~_CODEC))


def is_altered(raw: memoryview) -> bool:
    """Whether a batch is not as it was written, by its checksum."""
    return bool(calc_crc32c(raw[_CHECKED_FROM:].tobytes()) != Header.of(raw).checksum)


@dataclass(frozen=True, slots=True)
class Record:
    """A record, with the attributes of aiokafka's."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    checksum: None = None


class Gap(NamedTuple):
    """Offsets, the last one included, of which no record can be read, and why."""

    first: int
    last: int
    reason: str


class _RecordError(ValueError):
    """A record contradicts itself."""


def salvaged(
    header: Header, payload: bytes, known: int = 0, next_offset: int | None = None
) -> Iterator[Record | Gap]:
    """The records of a batch in order, and a gap where there were some that cannot be read.

    Args:
        payload: the records, uncompressed.
        known: so many of the first are sound, and passed over.
        next_offset: behind the last of those.
    """
    expected = header.base_offset if next_offset is None else next_offset
    trouble = ""
    at = seen = 0
    while at < len(payload):
        try:
            size, start = _number(payload, at)
            if not 0 < size <= len(payload) - start:
                raise _RecordError(f"a record of {size} bytes where {len(payload) - start} are")
        except _RecordError as error:
            trouble = trouble or str(error)
            break
        at = start + size
        seen += 1
        if seen <= known:
            continue
        try:
            record = _record(header, payload[start:at], expected)
        except _RecordError as error:
            trouble = trouble or str(error)
            continue
        if trouble and record.offset > expected:
            yield Gap(expected, record.offset - 1, trouble)
        trouble = ""
        yield record
        expected = record.offset + 1
    if not trouble and seen < header.records:
        trouble = f"it says that it has {header.records} records; there are {seen}"
    if trouble and expected <= header.last_offset:
        yield Gap(expected, header.last_offset, trouble)


def _record(header: Header, body: bytes, expected: int) -> Record:
    """A record from its bytes behind the length."""
    delta, at = _number(body, 1)  # behind attributes that nobody uses yet
    offset_delta, at = _number(body, at)
    offset = header.base_offset + offset_delta
    if not expected <= offset <= header.last_offset:
        raise _RecordError(f"offset {offset}; expected {expected} to {header.last_offset}")
    key, at = _bytes(body, at)
    value, at = _bytes(body, at)
    count, at = _number(body, at)
    if not 0 <= count <= len(body):
        raise _RecordError(f"{count} headers in a record of {len(body)} bytes")
    headers = []
    for _ in range(count):
        name, at = _bytes(body, at)
        content, at = _bytes(body, at)
        headers.append(((name or b"").decode(errors="backslashreplace"), content))
    if at != len(body):
        raise _RecordError(f"{len(body) - at} bytes are left over in a record")
    stamped = header.log_append_time
    timestamp = header.max_timestamp if stamped else header.base_timestamp + delta
    return Record(offset, within_64_bits(timestamp), int(stamped), key, value, headers)


def within_64_bits(number: int) -> int:
    """The number, or the nearest that fits a field of the format."""
    return min(max(number, -(1 << 63)), (1 << 63) - 1)


def _bytes(body: bytes, at: int) -> tuple[bytes | None, int]:
    """Bytes behind their length; None where that is negative."""
    size, at = _number(body, at)
    if size < 0:
        return None, at
    if size > len(body) - at:
        raise _RecordError(f"{size} bytes where {len(body) - at} are left in the record")
    return body[at : at + size], at + size


def _number(body: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, zigzag, and where it ends."""
    value = 0
    for place, byte in enumerate(body[at : at + _LONGEST_NUMBER]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at + place + 1
    raise _RecordError("a number that does not end")
