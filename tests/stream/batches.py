"""Batches of Kafka's record format, made by aiokafka's builder and then broken on purpose."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c, encode_varint

from stream.kafka.wire.batches import harden
from stream.kafka.wire.salvage import HEADER_BYTES

SOURCE = TopicPartition("social.events", 2)
Headers = Sequence[tuple[str, bytes | None]]
_ATTRIBUTES, _LAST_DELTA, _MAX_TIMESTAMP, _COUNT = 21, 23, 35, 57


def batch(
    values: Sequence[bytes | None],
    *,
    codec: int = 0,
    first: int = 0,
    key: bytes | None = b"key",
    headers: Headers = (),
    at_ms: int | None = None,
) -> bytes:
    """A sound batch; its records are a millisecond apart and end now, unless `at_ms` begins it."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=0, producer_id=-1, producer_epoch=-1,
        base_sequence=-1, batch_size=1 << 30,
    )  # fmt: skip
    start = int(time.time() * 1000) - len(values) if at_ms is None else at_ms
    for number, value in enumerate(values):
        builder.append(number, start + number, key, value, list(headers))
    made = bytearray(builder.build())
    struct.pack_into(">q", made, 0, first)
    return bytes(made)


def sealed(made: bytes) -> bytes:
    """The batch with the length and the checksum that it should have."""
    raw = bytearray(made)
    struct.pack_into(">i", raw, 8, len(raw) - 12)
    struct.pack_into(">I", raw, 17, calc_crc32c(bytes(raw[_ATTRIBUTES:])))
    return bytes(raw)


def with_codec(made: bytes, codec: int) -> bytes:
    """It says that it is compressed by that codec, and is not."""
    raw = bytearray(made)
    raw[_ATTRIBUTES + 1] = raw[_ATTRIBUTES + 1] & ~7 | codec
    return sealed(raw)


def with_payload(made: bytes, payload: bytes) -> bytes:
    """Other bytes behind the header."""
    return sealed(made[:HEADER_BYTES] + payload)


def with_count(made: bytes, count: int) -> bytes:
    """It says that it has so many records."""
    raw = bytearray(made)
    struct.pack_into(">i", raw, _COUNT, count)
    return sealed(raw)


def with_last(made: bytes, last_delta: int) -> bytes:
    """It says that its last record is so far behind the first."""
    raw = bytearray(made)
    struct.pack_into(">i", raw, _LAST_DELTA, last_delta)
    return sealed(raw)


def number(value: int) -> bytes:
    """A number as records have it."""
    out: list[int] = []
    encode_varint(value, out.append)
    return bytes(out)


def record(
    delta: int,
    value: bytes | None,
    *,
    key: bytes | None = b"key",
    headers: Sequence[tuple[bytes | None, bytes | None]] = (),
) -> bytes:
    """One record as it lies in a batch."""

    def sized(content: bytes | None) -> bytes:
        return number(-1) if content is None else number(len(content)) + content

    told = b"".join(sized(name) + sized(content) for name, content in headers)
    body = (
        b"\0" + number(delta) + number(delta) + sized(key) + sized(value)
        + number(len(headers)) + told
    )  # fmt: skip
    return number(len(body)) + body


def fetched(
    content: bytes, *, offset: int = 0, committed: bool = False
) -> tuple[list[ConsumerRecord], int]:
    """What a consumer of the product gives of fetched bytes, and the offset it goes on from."""
    harden()
    batches = fetcher.MemoryRecords(content)
    if not batches.has_next():
        return [], offset
    isolation = fetcher.READ_COMMITTED if committed else fetcher.READ_UNCOMMITTED
    records = fetcher.PartitionRecords(SOURCE, batches, [], offset, None, None, True, isolation)
    return list(records), records.next_fetch_offset


Break = Callable[[bytes], bytes]
