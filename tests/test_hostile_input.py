"""What anybody may send or leave in a file is accepted within its bounds or refused with a reason.

Of each decoder and reader: drawn bytes, sound bytes that were mutilated, and what breaks parsers.
"""

from __future__ import annotations

import re
import tracemalloc

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.readers import READERS, Reader
from topics import consistency
from topics.records import BIN_EDGES, CascadeSnapshot

DEEP = 100_000
# Whole inputs that break parsers: nesting, numbers, sizes that are stated and not there.
BREAKERS: dict[str, bytes] = {
    "nothing": b"",
    "arrays in arrays": b"[" * DEEP,
    "objects in objects": b'{"a":' * DEEP,
    "deep in a setting": b"kafka = " + b"[" * DEEP,
    "deep MessagePack": b"\x91" * DEEP,
    "deep MessagePack maps": b"\x81\xa1x" * DEEP,
    "a list of four billion": b"\xdd\xff\xff\xff\xff",
    "a map of four billion": b"\xdf\xff\xff\xff\xff",
    "text of four billion": b"\xdb\xff\xff\xff\xff",
    "a header of 2^63 bytes": (1 << 63).to_bytes(8, "little") + b"{}",
    "a deep header": DEEP.to_bytes(8, "little") + b"[" * DEEP,
    "many digits": b"9" * DEEP,
    "a huge number of partitions": b"partitions = 1e999",
    "infinite partitions": b"partitions = inf",
    "half a partition": b"partitions = 2.5",
    "a factor that is none": b"growth_factor = nan",
    "not UTF-8": b"\xff\xfe\x00\xd8",
    "zeros": bytes(10_000),
    "a request before all time": b"timestamp,object_id\n-inf,x\n",
    "an identifier of a megabyte": b"timestamp,object_id\n1," + b"x" * (1 << 20) + b"\n",
    "a cascade without an end": b"c\ta\t0\t1\ta:" + b"9" * DEEP,
    "a gzip file with a broken body": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" + b"\xff" * 64,
}
# Put in place of a value of a JSON text or a field: what is a value elsewhere.
VALUES = [
    b"null", b"true", b"-1", b"1e999", b"-0.0", b"NaN", b"Infinity", b"1" * 400, b"0.5", b'""',
    b'"\\ud800"', b'"' + b"x" * 70_000 + b'"', b"[]", b"{}", b"[" * 2_000, b'{"a":' * 2_000,
]  # fmt: skip
ODD_FLOATS = st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e308, -0.0, 5e-324])


@st.composite
def mutilated(draw: st.DrawFn, sound: bytes) -> bytes:
    """Sound bytes: cut, overwritten, repeated, or with something in between."""
    data = bytearray(sound)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["cut", "flip", "insert", "repeat", "drop"])):
            case "cut":
                del data[at:]
            case "flip" if at < len(data):
                data[at] ^= draw(st.integers(1, 255))
            case "insert":
                data[at:at] = draw(st.binary(max_size=8) | st.sampled_from(VALUES))
            case "repeat":
                data += data[at : at + 64]
            case "drop":
                del data[at : at + draw(st.integers(1, 16))]
    return bytes(data)


def cases(reader: Reader) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=200) | st.sampled_from(reader.seeds).flatmap(mutilated)


@pytest.mark.parametrize("name", READERS)
def test_sound_input_is_accepted(name: str) -> None:
    reader = READERS[name]
    assert all(reader(seed) for seed in reader.seeds)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=60)
@given(data=st.data())
def test_hostile_input_is_within_its_bounds_or_refused(name: str, data: st.DataObject) -> None:
    reader = READERS[name]
    reader(data.draw(cases(reader)))


@pytest.mark.parametrize("name", READERS)
def test_what_breaks_parsers_costs_no_memory(name: str) -> None:
    """And ends; what it costs in time `benchmarks/hostile.py` measures."""
    reader = READERS[name]
    reader(reader.seeds[0])  # compiled and imported
    tracemalloc.start()
    for data in BREAKERS.values():
        reader(data)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 100 << 20


@pytest.mark.parametrize("name", [n for n, r in READERS.items() if r.seeds[0][:1] == b"{"])
def test_a_value_of_another_kind_is_refused_or_read_in_its_place(name: str) -> None:
    reader = READERS[name]
    for seed in reader.seeds:
        seed = msgspec.json.format(seed, indent=0)
        for found in re.finditer(rb'(?<=:)("[^"]*"|[-\d.e+]+|true|false|null)', seed):
            for value in VALUES:
                reader(seed[: found.start()] + value + seed[found.end() :])
        # The same name twice.
        reader(b"{" + seed[1:-1] + b"," + seed[1:])


@pytest.mark.parametrize("name", ["cascade.snapshots", "edge.windows", "ranked window"])
@given(data=st.data())
def test_numbers_that_are_none_do_not_pass_as_messagepack(name: str, data: st.DataObject) -> None:
    reader = READERS[name]
    fields = msgspec.msgpack.decode(reader.seeds[0])
    numbers = [field for field, value in fields.items() if isinstance(value, int | float)]
    fields[data.draw(st.sampled_from(numbers))] = data.draw(ODD_FLOATS)
    reader(msgspec.msgpack.encode(fields))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"parent": np.array([1 << 30], "<i4").tobytes()}, "parent: got 1073741824"),
        ({"parent": np.array([-3], "<i4").tobytes()}, "parent: got -3"),
        ({"delay": np.array([np.nan], "<f4").tobytes()}, "delay: got"),
        ({"delay": np.array([np.inf], "<f4").tobytes()}, "delay: got"),
        ({"rest": np.full(len(BIN_EDGES) + 1, -1, "<i4").tobytes()}, "rest: got -1"),
    ],
)
def test_a_snapshot_that_leads_out_of_its_arrays_is_refused(change: dict, reason: str) -> None:
    zeros = [bytes(4)] * 4
    sound = CascadeSnapshot("s", "c", "n1", 100.0, 2.5, 1, True, *zeros)
    assert consistency.of_snapshot(sound) is None
    assert reason in (consistency.of_snapshot(msgspec.structs.replace(sound, **change)) or "")
