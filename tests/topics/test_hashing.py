"""XXH3 against the vectors of its reference implementation (xxHash, cli/xsum_sanity_check.c)."""

from __future__ import annotations

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from topics.hashing import hash_ids, hash_users

VECTORS = {
    0: 0x2D06800538D394C2,
    1: 0xC44BDFF4074EECDB,
    6: 0x27B56A84CD2D7325,
    12: 0xA713DAF0DFBB77E7,
    24: 0xA3FE70BF9D3510EB,
    48: 0x397DA259ECBA1F11,
    80: 0xBCDEFBBB2C47C90A,
    195: 0xCD94217EE362EC3A,
}


def sanity_buffer(length: int) -> bytes:
    """The bytes that the reference implementation hashes in its self-test."""
    state, out = 2_654_435_761, bytearray()
    for _ in range(length):
        out.append(state >> 56)
        state = state * 11_400_714_785_074_694_797 % 2**64
    return bytes(out)


@pytest.mark.parametrize("length", VECTORS)
def test_the_library_computes_the_published_values(length: int) -> None:
    assert xxhash.xxh3_64_intdigest(sanity_buffer(length)) == VECTORS[length]


def test_identifiers_hash_to_the_published_values() -> None:
    hashes = hash_ids(["", "\0"])
    assert hashes.dtype == np.uint64
    assert hashes.tolist() == [VECTORS[0], VECTORS[1]]


def test_users_keep_the_low_half() -> None:
    hashes = hash_users(["", "\0"])
    assert hashes.dtype == np.int32
    assert hashes.tolist() == [0x38D394C2, 0x074EECDB]


@given(st.lists(st.text()))
def test_identifiers_hash_one_by_one(ids: list[str]) -> None:
    assert hash_ids(ids).tolist() == [xxhash.xxh3_64_intdigest(name.encode()) for name in ids]
    assert (hash_users(ids).view(np.uint32) == hash_ids(ids) % 2**32).all()
