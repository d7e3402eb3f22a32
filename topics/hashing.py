"""The hash by which identifiers are compared and sent: XXH3, 64 bits, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray


def hash_ids(ids: Sequence[str]) -> NDArray[np.uint64]:
    """XXH3 (64 bits, seed 0) of the UTF-8 bytes of each identifier, shape (len(ids),)."""
    digests = map(xxhash.xxh3_64_intdigest, map(str.encode, ids))
    return np.fromiter(digests, np.uint64, len(ids))


def hash_users(ids: Sequence[str]) -> NDArray[np.int32]:
    """The user hash of a snapshot: the low 32 bits of `hash_ids`, shape (len(ids),)."""
    return hash_ids(ids).astype(np.uint32).view(np.int32)
