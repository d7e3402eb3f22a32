"""The bytes of a checkpoint: what goes in comes out, and nothing else is taken for one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from stream.checkpoints.content import CheckpointError, as_bytes, check_facts, decode, encode
from stream.checkpoints.content import digest as digest_of

TYPES = ("bool", "i1", "u1", "i2", "i4", "u4", "i8", "u8", "f4", "f8")
any_array = st.sampled_from(TYPES).flatmap(
    lambda kind: arrays_of.arrays(kind, arrays_of.array_shapes(max_dims=2, min_side=0, max_side=5))
)


@given(st.dictionaries(st.text(min_size=1), any_array, max_size=4), st.text())
def test_what_goes_in_comes_out(arrays: dict[str, np.ndarray], said: str) -> None:
    arrays.pop("__metadata__", None)
    data = b"".join(encode(arrays, {"said": said}))
    content = decode(data)
    assert content.facts["said"] == said
    assert content.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        found = content.arrays[name]
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert found.tobytes() == array.tobytes()


def test_the_pieces_are_the_arrays_themselves() -> None:
    array = np.arange(5)
    pieces = encode({"a": array}, {})
    array[0] = 7
    assert decode(b"".join(pieces)).arrays["a"][0] == 7
    assert np.shares_memory(as_bytes(array), array)


@given(st.data())
def test_any_bit_that_flips_is_noticed(data: st.DataObject) -> None:
    pieces = encode({"a": np.arange(20)}, {"said": "this"})
    content = bytearray(b"".join(pieces))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert digest_of([content]) != digest_of(pieces)


@pytest.mark.parametrize(
    "data",
    [b"", b"nonsense", b"\xff" * 64, b"".join(encode({"a": np.arange(20)}, {}))[:-1]],
)
def test_what_is_none_is_unreadable(data: bytes) -> None:
    with pytest.raises(CheckpointError) as caught:
        decode(data)
    assert caught.value.reason == "unreadable"


def test_one_of_a_later_format_is_told_apart() -> None:
    data = b"".join(encode({}, {"format": "2"}))
    with pytest.raises(CheckpointError, match="got '2'; this version reads '1'") as caught:
        decode(data)
    assert caught.value.reason == "version"


def test_a_foreign_one_says_in_what_it_differs() -> None:
    with pytest.raises(CheckpointError, match="max_events: got '512'; this role has '256'") as told:
        check_facts({"max_events": "512", "topic": "t"}, {"max_events": "256", "topic": "t"})
    assert told.value.reason == "foreign"
    check_facts({"more": "is no harm"}, {})
