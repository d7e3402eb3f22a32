"""Snapshots as one ragged batch of arrays, the form that compiled kernels read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from topics.records import BIN_EDGES, CascadeSnapshot


class Batch(NamedTuple):
    """The events of many snapshots, one after the other.

    Attributes:
        offsets: the events of snapshot i are those from `offsets[i]` to `offsets[i + 1]`, int64,
            shape (snapshots + 1,).
        delays, parents, depths, users: as in a snapshot, shape (events,).
        rest_rows: the row of `rest` that belongs to each snapshot, -1 where all its events are
            kept exactly, int64, shape (snapshots,).
        rest: counts of the events past the kept ones, by `BIN_EDGES`, int32, shape
            (snapshots with such events, bins).
        ages: seconds since publication, float64, shape (snapshots,).
        counts: observed events, int64, shape (snapshots,).
        published_at: unix seconds, float64, shape (snapshots,).
    """

    offsets: NDArray[np.int64]
    delays: NDArray[np.float32]
    parents: NDArray[np.int32]
    depths: NDArray[np.int32]
    users: NDArray[np.int32]
    rest_rows: NDArray[np.int64]
    rest: NDArray[np.int32]
    ages: NDArray[np.float64]
    counts: NDArray[np.int64]
    published_at: NDArray[np.float64]


def gather(snapshots: Sequence[CascadeSnapshot]) -> Batch:
    """The snapshots as one batch, in their order."""
    size = len(snapshots)
    offsets = np.zeros(size + 1, np.int64)
    np.cumsum([len(snapshot.delay) // 4 for snapshot in snapshots], out=offsets[1:])
    has_rest = np.fromiter((bool(snapshot.rest) for snapshot in snapshots), np.bool_, size)
    return Batch(
        offsets=offsets,
        delays=np.frombuffer(b"".join([snapshot.delay for snapshot in snapshots]), "<f4"),
        parents=np.frombuffer(b"".join([snapshot.parent for snapshot in snapshots]), "<i4"),
        depths=np.frombuffer(b"".join([snapshot.depth for snapshot in snapshots]), "<i4"),
        users=np.frombuffer(b"".join([snapshot.user for snapshot in snapshots]), "<i4"),
        rest_rows=np.where(has_rest, np.cumsum(has_rest) - 1, -1),
        rest=np.frombuffer(b"".join([snapshot.rest for snapshot in snapshots]), "<i4").reshape(
            -1, len(BIN_EDGES) + 1
        ),
        ages=np.fromiter((snapshot.age for snapshot in snapshots), np.float64, size),
        counts=np.fromiter((snapshot.observed_count for snapshot in snapshots), np.int64, size),
        published_at=np.fromiter(
            (snapshot.published_at for snapshot in snapshots), np.float64, size
        ),
    )
