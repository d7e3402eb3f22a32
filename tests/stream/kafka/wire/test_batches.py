"""Fetched bytes, whatever is in them: records in order, and nothing raised."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from aiokafka import codec as kafka
from aiokafka.consumer import fetcher
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.wire.batches import UNKNOWN_CODEC, UNREADABLE, RecordBatches, Unreadable
from stream.kafka.wire.salvage import HEADER_BYTES
from stream.kafka.wire.unpacking import CODECS
from tests.stream.batches import (
    batch,
    fetched,
    number,
    record,
    sealed,
    with_codec,
    with_count,
    with_last,
    with_payload,
)
from topics.catalogue import CATALOGUE
from topics.codecs import DecodeError

TEN = [b"value %d" % i for i in range(10)]
NEXT = batch([b"next"], first=10)  # the batch behind the broken one


def told(content: bytes) -> list[tuple[int, bytes | None] | tuple[int, int, str]]:
    """(offset, value), or (first, last, reason) of what cannot be read. `NEXT` must come."""
    records, position = fetched(content + NEXT)
    assert [record.offset for record in records] == sorted({r.offset for r in records})
    assert records[-1].value == b"next" and position == 11
    return [
        (r.value.first, r.value.last, r.value.reason)
        if isinstance(r.value, Unreadable)
        else (r.offset, r.value)
        for r in records[:-1]
    ]


ALL = list(enumerate(TEN))


@pytest.mark.parametrize("codec", [0, *CODECS])
def test_sound_batches_are_given_as_they_are(codec: int) -> None:
    assert told(batch(TEN, codec=codec, headers=[("name", b"content")])) == ALL


def test_a_batch_of_an_unknown_codec_is_one_stretch() -> None:
    for codec in (5, 6, 7):
        [stretch] = told(with_codec(batch(TEN), codec))
        assert stretch[:2] == (0, 9) and f"codec {codec}" in str(stretch[2])
    records, _ = fetched(with_codec(batch(TEN), 5))
    assert records[0].value.error == UNKNOWN_CODEC and records[0].offset == 9


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_that_does_not_unpack_is_one_stretch(codec: int) -> None:
    made = batch([b"x" * 500] * 10, codec=codec)
    altered = bytearray(made)
    altered[HEADER_BYTES + 1 :] = b"\xee" * (len(made) - HEADER_BYTES - 1)
    for broken in (sealed(made[:-7]), sealed(altered), with_codec(batch(TEN), codec)):
        [stretch] = told(broken)
        assert stretch[:2] == (0, 9) and CODECS[codec] in str(stretch[2])


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_that_unpacks_to_gigabytes_takes_no_memory(codec: int) -> None:
    pack = {1: kafka.gzip_encode, 2: kafka.snappy_encode, 3: kafka.lz4_encode, 4: kafka.zstd_encode}
    bomb = with_payload(batch(TEN, codec=codec), pack[codec](bytes(80 << 20)))
    tracemalloc.start()
    [stretch] = told(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert stretch[:2] == (0, 9) and "within 67,108,864 bytes" in str(stretch[2])
    assert peak < (150 << 20) + 4 * len(bomb)


def test_what_can_be_read_of_a_broken_batch_is_given() -> None:
    parts = [record(i, value) for i, value in enumerate(TEN)]
    parts[2] = number(9) + b"\xff" * 9
    for codec, pack in ((0, bytes), (1, kafka.gzip_encode), (4, kafka.zstd_encode)):
        broken = with_payload(batch(TEN, codec=codec), pack(b"".join(parts)))
        assert told(broken) == [*ALL[:2], (2, 2, "a number that does not end"), *ALL[3:]]


@pytest.mark.parametrize("count", [-1, 0, 3, 11, 1 << 30])
def test_a_count_that_lies_costs_no_record(count: int) -> None:
    assert told(with_count(batch(TEN), count)) == ALL


def test_header_names_that_are_no_text_cost_no_record() -> None:
    odd = record(0, b"value", headers=[(b"\xff", b"1"), (None, None)])
    records, _ = fetched(with_payload(batch([b"value"]), odd))
    assert [(r.value, r.headers) for r in records] == [(b"value", (("\\xff", b"1"), ("", None)))]


def test_thousands_of_headers_are_given() -> None:
    headers = [(f"name {i}", b"content") for i in range(20_000)]
    records, _ = fetched(batch([b"value"], headers=headers))
    assert len(records[0].headers) == 20_000


def test_where_a_checksum_is_wrong_nothing_is_believed_but_what_follows() -> None:
    altered = bytearray(batch(TEN))
    altered[-3] ^= 1  # in the last value: nothing else can tell
    [stretch] = told(bytes(altered))
    assert stretch[:2] == (0, 9) and "checksum" in str(stretch[2])
    altered[25] ^= 1  # its last offset
    assert told(bytes(altered)) == [stretch], "up to the next batch"
    assert [r.offset for r in fetched(bytes(altered))[0]] == [0], "which may not be there yet"
    altered[25] ^= 1
    records, position = fetched(bytes(altered))
    assert (records[0].value.last, position) == (9, 10), "two of its fields agree"


def test_bytes_that_are_no_batch_are_passed_over() -> None:
    unknown = bytearray(batch([b"a"], first=9))
    unknown[16] = 3
    short = struct.pack(">qi", 9, 8) + bytes(8)
    for broken in (bytes(unknown), short):
        [(first, last, reason)] = told(broken)  # type: ignore[misc]
        assert (first, last) == (0, 9) and "a batch that is none" in str(reason)


def test_messages_of_old_formats_are_given_or_passed_over() -> None:
    for magic in (0, 1):
        builder = LegacyRecordBatchBuilder(magic=magic, compression_type=0, batch_size=1 << 20)
        builder.append(7, timestamp=1_000 if magic else None, key=b"k", value=b"old")
        made = bytes(builder.build())
        [record], position = fetched(made)
        assert (record.offset, record.value, position) == (7, b"old", 8)
        assert record.timestamp == (1_000 if magic else -1)
        for at in (-1, -7):  # in the value, and in its length
            broken = bytearray(made)
            broken[at] ^= 0x40
            [record], position = fetched(bytes(broken), offset=7)
            assert isinstance(record.value, Unreadable) and (record.offset, position) == (7, 8)


@pytest.mark.parametrize("length", [-1, -12, 0, (1 << 31) - 1])
def test_a_length_that_lies_ends_what_was_fetched(length: int) -> None:
    broken = bytearray(batch([b"a"], first=9))
    struct.pack_into(">i", broken, 8, length)
    records, position = fetched(bytes(broken) + NEXT, offset=9)
    assert [r.offset for r in records] == [9]
    assert position == 10


def test_a_batch_that_is_cut_off_at_the_end_is_fetched_again() -> None:
    whole = batch(TEN) + NEXT
    records, position = fetched(whole[:-5])
    assert len(records) == 10 and position == 10
    assert not RecordBatches(NEXT[:-5]).has_next()


def test_a_batch_without_records_is_left_behind() -> None:
    empty = with_count(with_last(with_payload(batch([b"a"], first=3), b""), 6), 0)
    assert fetched(empty, offset=3) == ([], 10)


def test_reading_begins_within_a_broken_batch_with_the_same_bytes() -> None:
    """A checkpoint knows its log by the last record before it, and reads that alone."""
    parts = [record(i, value) for i, value in enumerate(TEN)]
    broken = with_payload(batch(TEN), b"".join(parts[:4]) + b"\xff" * 30)
    whole, _ = fetched(broken)
    late, _ = fetched(broken, offset=8)
    assert [r.offset for r in late] == [9]
    assert late[0].value == whole[-1].value and late[0].timestamp == whole[-1].timestamp


def test_only_the_first_of_many_stretches_has_the_batch() -> None:
    parts = [record(i, b"x" * 1000) for i in range(1000)]
    parts[1::2] = [number(9) + b"\xff" * 9] * 500
    records, _ = fetched(with_payload(batch([b""] * 1000), b"".join(parts)))
    kept = [len(r.value) for r in records if isinstance(r.value, Unreadable)]
    assert len(kept) == 500 and kept[0] > 500_000 and set(kept[1:]) == {HEADER_BYTES}


def test_no_topic_takes_an_unreadable_batch_for_a_record() -> None:
    records, _ = fetched(with_codec(batch(TEN, first=123_456_789), 7), offset=123_456_789)
    value = records[0].value
    assert value.error != UNREADABLE
    for topic in CATALOGUE.values():
        if topic.name != "dead.letters":
            with pytest.raises(DecodeError):
                topic.codec.decode(value)


def test_a_marker_that_cannot_be_read_ends_its_transaction() -> None:
    def control(key: bytes) -> bytes:
        raw = bytearray(batch([b""], key=key, first=5))
        raw[22] |= 0x30  # transactional, control
        struct.pack_into(">q", raw, 43, 77)  # producer
        return sealed(raw)

    for marker in (control(b"\0\0\0\0"), control(b"\0"), with_payload(control(b"k"), b"\xff" * 9)):
        assert fetched(marker, offset=5, committed=True) == ([], 6)
        records = fetcher.PartitionRecords(
            ("t", 0), RecordBatches(marker), [(77, 1)], 5, None, None, False, 1
        )
        list(records)
        assert records._aborted_producers == set()


@given(st.data())
def test_whatever_bytes_come_reading_goes_on(data: st.DataObject) -> None:
    codec = data.draw(st.sampled_from([0, *CODECS]))
    raw = bytearray(batch(TEN, codec=codec))
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(8, len(raw) - 1))] = data.draw(st.integers(0, 255))
    by_its_producer = data.draw(st.booleans())
    records, position = fetched(sealed(raw) if by_its_producer else bytes(raw))
    offsets = [r.offset for r in records]
    assert offsets == sorted(set(offsets))
    if not by_its_producer:
        assert offsets == [] or 0 <= offsets[0] <= offsets[-1] < position <= 10
