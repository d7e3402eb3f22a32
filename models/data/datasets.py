"""Recorded cascades and requests, and what training and tests make of them.

`models.data.cascades` and `models.data.requests` read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topics.hashing import hash_users
from topics.records import BIN_EDGES, CascadeSnapshot

ROOT = -1
UNKNOWN_PARENT = -2


@dataclass(frozen=True, eq=False)
class Cascade:
    """All events of one cascade in order of time; the root is event 0.

    Attributes:
        published_at: unix seconds of the root.
        users: of each event, shape (events,).
        parents: index of the first event of the parent's user, int32, shape (events,); `ROOT` for
            the root, `UNKNOWN_PARENT` where the parent has no earlier event.
        delays: seconds since publication, float64, shape (events,), ascending; 0 for the root.
    """

    cascade_id: str
    root_user: str
    published_at: float
    users: list[str]
    parents: NDArray[np.int32]
    delays: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def depths(self) -> NDArray[np.int32]:
        """Hops from the root, shape (events,); 1 where the parent is not known."""
        depths: NDArray[np.int32] = _depths(self.parents)
        return depths

    @cached_property
    def user_hashes(self) -> NDArray[np.int32]:
        """Hash of each event's user as snapshots carry it, shape (events,)."""
        return hash_users(self.users)


@njit(cache=True)
def _depths(parents: NDArray[np.int32]) -> NDArray[np.int32]:
    depths = np.empty(parents.size, np.int32)
    for event in range(parents.size):
        parent = parents[event]
        if parent >= 0:
            depths[event] = depths[parent] + 1
        else:
            depths[event] = 0 if parent == ROOT else 1
    return depths


@dataclass(frozen=True, eq=False)
class RequestTrace:
    """Requests in order of time.

    Attributes:
        timestamps: unix seconds (or the request's number), float64, shape (requests,), ascending.
        objects: index into `object_ids`, int32, shape (requests,).
        object_ids: distinct objects in order of first request.
        clients: index into `client_ids`, int32, shape (requests,).
        client_ids: distinct clients in order of first request; "" stands for those not known.
        sizes: bytes of each object as first stated, 0 where they never are, int64, shape
            (len(object_ids),); None where the file states none.
    """

    timestamps: NDArray[np.float64]
    objects: NDArray[np.int32]
    object_ids: list[str]
    clients: NDArray[np.int32]
    client_ids: list[str]
    sizes: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.timestamps)


# ------------------------------------------------------------------ observations and labels


def count_at(cascade: Cascade, age: float) -> int:
    """Events with a delay of at most `age` seconds, the root included."""
    return int(np.searchsorted(cascade.delays, age, side="right"))


def increment(cascade: Cascade, observed: float, horizon: float) -> int:
    """The label: events with `observed` < delay <= `horizon` (seconds since publication)."""
    return max(0, count_at(cascade, horizon) - count_at(cascade, observed))


def snapshot_at(cascade: Cascade, age: float, max_events: int = 512) -> CascadeSnapshot:
    """What a tracker publishes of `cascade` at `age` seconds since publication.

    The first `max_events` events are kept exactly and later ones counted by `BIN_EDGES`, a count
    at bin i for delays in (edge i - 1, edge i].
    """
    count = count_at(cascade, age)
    kept = min(count, max_events)
    rest = b""
    if count > kept:
        bins = np.searchsorted(BIN_EDGES, cascade.delays[kept:count], side="left")
        rest = np.bincount(bins, minlength=len(BIN_EDGES) + 1).astype("<i4").tobytes()
    trigger = f"a{int(age)}"
    return CascadeSnapshot(
        snapshot_id=f"{cascade.cascade_id}:{trigger}",
        cascade_id=cascade.cascade_id,
        trigger=trigger,
        published_at=cascade.published_at,
        age=float(age),
        observed_count=count,
        rooted=True,
        delay=cascade.delays[:kept].astype("<f4").tobytes(),
        parent=cascade.parents[:kept].astype("<i4").tobytes(),
        depth=cascade.depths[:kept].astype("<i4").tobytes(),
        user=cascade.user_hashes[:kept].astype("<i4").tobytes(),
        rest=rest,
    )


# ------------------------------------------------------------------ splits


class Split(NamedTuple):
    """Parts of a set of cascades, each in order of publication."""

    train: list[Cascade]
    validation: list[Cascade]
    test: list[Cascade]


def split_chronologically(
    cascades: Sequence[Cascade], train: float = 0.7, validation: float = 0.15
) -> Split:
    """Earliest part for training, then validation, the latest for the test: no future leaks.

    Ties in publish time keep the order given.
    """
    ordered = sorted(cascades, key=lambda cascade: cascade.published_at)
    first = int(len(ordered) * train)
    second = int(len(ordered) * (train + validation))
    return Split(ordered[:first], ordered[first:second], ordered[second:])


def split_randomly(
    cascades: Sequence[Cascade], seed: int = 0, train: float = 0.7, validation: float = 0.15
) -> Split:
    """Parts drawn at random, as much of the literature has them; each in order of publication.

    The training part has cascades of the test part's time, so what is measured flatters: for
    comparison with published figures only.
    """
    ordered = sorted(cascades, key=lambda cascade: cascade.published_at)
    first = int(len(ordered) * train)
    second = int(len(ordered) * (train + validation))
    drawn = np.random.default_rng(seed).permutation(len(ordered))
    parts = np.split(drawn, [first, second])
    return Split(*([ordered[index] for index in sorted(part)] for part in parts))
