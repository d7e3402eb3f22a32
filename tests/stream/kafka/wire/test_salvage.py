"""Broken batches: every record that can be read, and a gap that says why where one cannot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.wire.salvage import HEADER_BYTES, Gap, Header, Record, is_altered, salvaged
from tests.stream.batches import batch, number, record, with_payload

TEN = [b"value %d" % i for i in range(10)]
RECORDS = [record(i, value) for i, value in enumerate(TEN)]


def read(payload: bytes, count: int = 10) -> list[tuple[int, bytes | None] | Gap]:
    raw = memoryview(with_payload(batch(TEN[:count], first=70), payload))
    found = salvaged(Header.of(raw), raw[HEADER_BYTES:].tobytes())
    return [(one.offset, one.value) if isinstance(one, Record) else one for one in found]


def sound(*numbers: int) -> list[tuple[int, bytes]]:
    return [(70 + i, TEN[i]) for i in numbers]


def test_a_sound_batch_is_read_as_by_aiokafka() -> None:
    made = batch(TEN, headers=[("name", b"content"), ("none", None)], first=70)
    raw = memoryview(made)
    assert not is_altered(raw)
    found = list(salvaged(Header.of(raw), made[HEADER_BYTES:]))
    assert [one.value for one in found if isinstance(one, Record)] == TEN
    assert found[0].headers == [("name", b"content"), ("none", None)]  # type: ignore[union-attr]


def test_the_third_of_ten_is_passed_over() -> None:
    garbage = number(9) + b"\xff" * 9
    found = read(b"".join([*RECORDS[:2], garbage, *RECORDS[3:]]))
    assert found == [*sound(0, 1), Gap(72, 72, "a number that does not end"),
                     *sound(3, 4, 5, 6, 7, 8, 9)]  # fmt: skip


def test_where_no_length_can_be_believed_the_rest_is_given_up() -> None:
    for length in (number(-64), number(1 << 30), b"\xff" * 11):
        found = read(b"".join([*RECORDS[:2], length, *RECORDS[3:]]))
        assert found[:2] == sound(0, 1)
        [gap] = found[2:]
        assert isinstance(gap, Gap) and (gap.first, gap.last) == (72, 79), gap


@pytest.mark.parametrize("said", [0, -5, 3, 10, 1 << 30])
def test_however_many_records_it_says_that_it_has(said: int) -> None:
    raw = memoryview(batch(TEN, first=70))
    found = list(salvaged(Header.of(raw)._replace(records=said), raw[HEADER_BYTES:].tobytes()))
    assert [one.value for one in found if isinstance(one, Record)] == TEN
    assert len(found) == 10


def test_records_that_are_missing_at_the_end_are_a_gap() -> None:
    reason = "it says that it has 10 records; there are 7"
    assert read(b"".join(RECORDS[:7])) == [*sound(*range(7)), Gap(77, 79, reason)]


def test_what_a_compaction_took_is_no_gap() -> None:
    raw = memoryview(with_payload(batch(TEN, first=70), RECORDS[1] + RECORDS[8]))
    header = Header.of(raw)._replace(records=2)
    found = list(salvaged(header, raw[HEADER_BYTES:].tobytes()))
    assert [one.offset for one in found if isinstance(one, Record)] == [71, 78]
    assert len(found) == 2


def test_offsets_that_go_back_or_beyond_are_not_believed() -> None:
    payload = RECORDS[0] + record(0, b"again") + record(1 << 20, b"beyond") + RECORDS[3]
    found = read(payload)
    assert found[0] == (70, TEN[0]) and found[2] == (73, TEN[3])
    assert found[1] == Gap(71, 72, "offset 70; expected 71 to 79")


def test_header_names_are_read_whatever_they_are() -> None:
    odd = record(0, b"value", headers=[(b"\xff\xfe", b"1"), (None, b"2"), (b"name", None)])
    raw = memoryview(with_payload(batch([b"value"]), odd))
    [found] = salvaged(Header.of(raw), raw[HEADER_BYTES:].tobytes())
    assert isinstance(found, Record)
    assert found.headers == [("\\xff\\xfe", b"1"), ("", b"2"), ("name", None)]


def test_a_timestamp_stays_within_its_field() -> None:
    raw = memoryview(batch([b"a", b"b"], at_ms=0))
    header = Header.of(raw)._replace(base_timestamp=(1 << 63) - 1)
    late = list(salvaged(header, raw[HEADER_BYTES:].tobytes()))
    assert [one.timestamp for one in late if isinstance(one, Record)] == [(1 << 63) - 1] * 2


@given(st.data())
def test_whatever_is_in_it_offsets_go_up_and_all_are_told_of(data: st.DataObject) -> None:
    payload = bytearray(b"".join(RECORDS))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(payload) - 1))
        how = data.draw(st.sampled_from(["alter", "insert", "remove"]))
        if how == "alter":
            payload[at] = data.draw(st.integers(0, 255))
        elif how == "insert":
            payload[at:at] = data.draw(st.binary(max_size=5))
        else:
            del payload[at]
    raw = memoryview(with_payload(batch(TEN, first=70), bytes(payload)))
    offset = 70
    for one in salvaged(Header.of(raw), raw[HEADER_BYTES:].tobytes()):
        first, last = (one.first, one.last) if isinstance(one, Gap) else (one.offset, one.offset)
        assert offset <= first <= last < 80
        offset = last + 1
