"""Caches that replay a sequence of requests: evict the lowest priority, admit only what is above.

    ScoreCache      the rule itself: arrays, capacity in objects or bytes, growth, forgetting
    AdvisedCache    follows the scores it is given; without any it is LRU
    (models.caches.decayed.TunedCache: priorities are exponentially decayed counts)

Objects are small integers, dense from 0: the caller's indices. A cache keeps its state between
calls, so one sequence replayed in pieces gives the same hits as in one go. An object whose size
is not known counts as one unit. Equal priorities: the object with the lower index goes first, and
a newcomer that only equals the lowest resident is refused.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from models.kernels import heap

Unit = Literal["objects", "bytes"]
# Priorities of requests without a score count up from here: below every score, apart by recency.
# Integers are exact in float64 to 2^53, so recency holds for 2^52 requests.
_UNSCORED = -float(1 << 52)


class ScoreCache:
    """State shared by the caches: `caches` heaps over one catalogue, each with its own capacity.

    Args:
        capacity: objects, or bytes if `unit` says so; more than 0.
        unit: what the capacity counts.
        caches: heaps kept.
        rows: rows of priorities kept.

    Raises:
        ValueError: a capacity or unit that is not allowed.
    """

    def __init__(
        self, capacity: int, unit: Unit = "objects", *, caches: int = 1, rows: int = 1
    ) -> None:
        if unit not in ("objects", "bytes"):
            raise ValueError(f"unit: got {unit!r}; expected 'objects' or 'bytes'")
        self.unit = unit
        self.known = 0
        self._heap = np.zeros((caches, 0), np.int32)
        self._place = np.zeros((caches, 0), np.int32)
        self._priority = np.zeros((rows, 0), np.float64)
        self._size = np.zeros(0, np.int64)
        self._fill = np.zeros((caches, 3), np.int64)
        self._fill[:, heap.CAPACITY] = _checked(capacity)

    @property
    def capacity(self) -> int:
        """Objects or bytes that the cache holds at most."""
        return int(self._fill[0, heap.CAPACITY])

    @property
    def used(self) -> int:
        """Objects or bytes that the cache holds (of several caches, the last)."""
        return int(self._fill[-1, heap.USED])

    def residents(self) -> NDArray[np.int32]:
        """The objects held, ascending (of several caches, those of the last)."""
        return np.sort(self._heap[-1, : self._fill[-1, heap.HELD]])

    def resize(self, capacity: int) -> None:
        """Gives the cache another capacity; what exceeds it is evicted, the lowest first."""
        if capacity != self.capacity:
            self._fill[:, heap.CAPACITY] = _checked(capacity)
            self._grow(self.known)
            self._reorder()

    def forget(self, keep: ArrayLike) -> None:
        """Drops every object that is not in `keep`; `keep[i]` is called `i` from now on.

        Args:
            keep: indices of known objects, strictly ascending.
        """
        kept = np.asarray(keep, np.int64)
        renamed = np.full(self._size.size, -1, np.int32)
        renamed[kept] = np.arange(kept.size, dtype=np.int32)
        self._select(kept)
        self.known = kept.size
        self._place = np.full((self._place.shape[0], kept.size), -1, np.int32)
        for cache, fill in enumerate(self._fill):
            held = renamed[self._heap[cache, : fill[heap.HELD]]]
            held = held[held >= 0]
            self._heap[cache, : held.size] = held
            fill[heap.HELD] = held.size
        self._reorder()

    def _select(self, kept: NDArray[np.int64]) -> None:
        """Keeps the columns `kept` of every array that runs over the objects."""
        self._priority = self._priority[:, kept]
        self._size = self._size[kept]

    def _grow(self, known: int) -> None:
        """Makes room for the indices below `known`."""
        self.known = max(self.known, known)
        if self.known > self._size.size:
            length = max(64, self.known + self.known // 2)
            self._place = heap.grown(self._place, length, -1)
            self._priority = heap.grown(self._priority, length, -np.inf)
            self._size = heap.grown(self._size, length, 1)
        # Objects held are at most the objects known, and at most the capacity where it counts them.
        width = self._size.size
        if self.unit == "objects":
            width = min(width, self.capacity)
        if width > self._heap.shape[1]:
            self._heap = heap.grown(self._heap, width, 0)

    def _reorder(self) -> None:
        for cache, fill in enumerate(self._fill):
            row = self._priority[self._row(cache)]
            heap.reorder(self._heap[cache], self._place[cache], row, self._size, fill)

    def _row(self, cache: int) -> int:
        """Row of priorities that a cache goes by."""
        return cache

    def _requests(
        self, objects: ArrayLike, sizes: ArrayLike | None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The requests as arrays; sizes are empty where there are none."""
        codes = np.ascontiguousarray(objects, np.int32)
        weights = np.zeros(0, np.int64)
        if sizes is not None:
            weights = np.ascontiguousarray(sizes, np.int64)
            if weights.shape != codes.shape:
                raise ValueError(f"sizes: got {weights.size}; expected one a request: {codes.size}")
        if codes.size:
            if codes.min() < 0:
                raise ValueError(f"objects: got {codes.min()}; expected indices from 0")
            self._grow(int(codes.max()) + 1)
        return codes, weights


class AdvisedCache(ScoreCache):
    """Keeps what it is advised to keep, by score; fills the rest by recency.

    The priority of an object with a score is that score. Objects without one come below all of
    those, the least recently requested lowest, so a cache without advice is LRU exactly.

    >>> cache = AdvisedCache(2)
    >>> cache.replay([0, 1, 2, 0]).tolist()
    [False, False, False, False]
    >>> cache.advise([0, 1], [5.0, 4.0])
    >>> cache.replay([1, 2, 3, 0, 1]).tolist()
    [False, False, False, True, True]
    """

    def __init__(self, capacity: int, unit: Unit = "objects") -> None:
        super().__init__(capacity, unit)
        self._score = np.zeros(0, np.float64)
        self._last = np.zeros(0, np.float64)
        self._clock = np.zeros(1, np.int64)

    def advise(self, objects: ArrayLike, scores: ArrayLike) -> None:
        """Gives objects their scores, shape (objects,); NaN takes an object's score away."""
        codes = np.asarray(objects, np.int32)
        values = np.asarray(scores, np.float64)
        if not codes.size:
            return
        self._grow(int(codes.max()) + 1)
        self._score[codes] = values
        self._priority[0, codes] = np.where(np.isnan(values), self._last[codes], values)
        self._reorder()

    def prefetch(self, objects: ArrayLike) -> None:
        """Fetches objects ahead of any request; each makes room as a request for it would."""
        codes = np.asarray(objects, np.int32)
        if codes.size:
            self._grow(int(codes.max()) + 1)
        for code in codes.tolist():
            heap.request(
                self._heap[0], self._place[0], self._priority[0], self._size, self._fill[0], code
            )

    def holds(self, objects: ArrayLike) -> NDArray[np.bool_]:
        """Which objects are in the cache, shape (objects,)."""
        codes = np.asarray(objects, np.int32)
        if codes.size:
            self._grow(int(codes.max()) + 1)
        held: NDArray[np.bool_] = self._place[0, codes] >= 0
        return held

    def replay(self, objects: ArrayLike, sizes: ArrayLike | None = None) -> NDArray[np.bool_]:
        """Whether each request was a hit, shape (requests,).

        Args:
            objects: index of the object of each request.
            sizes: its bytes, 0 where unknown; they matter only where the capacity is in bytes.
        """
        codes, weights = self._requests(objects, sizes)
        if self.unit == "objects":
            weights = weights[:0]
        hits = np.zeros(codes.size, np.bool_)
        _replay_advised(
            codes, weights, self._heap[0], self._place[0], self._priority[0], self._size,
            self._fill[0], self._score, self._last, self._clock, hits,
        )  # fmt: skip
        return hits

    def _grow(self, known: int) -> None:
        super()._grow(known)
        if self._size.size > self._score.size:
            self._score = heap.grown(self._score, self._size.size, np.nan)
            self._last = heap.grown(self._last, self._size.size, _UNSCORED)

    def _select(self, kept: NDArray[np.int64]) -> None:
        super()._select(kept)
        self._score = self._score[kept]
        self._last = self._last[kept]


def _checked(capacity: int) -> int:
    if capacity < 1:
        raise ValueError(f"capacity: got {capacity}; expected at least 1")
    return capacity


@njit(cache=True, nogil=True)
def _replay_advised(
    objects: Any, sizes: Any, order: Any, place: Any, priority: Any, size: Any, fill: Any,
    score: Any, last: Any, clock: Any, hits: Any,
) -> None:  # fmt: skip
    for position in range(objects.size):
        item = objects[position]
        clock[0] += 1
        last[item] = _UNSCORED + clock[0]
        if np.isnan(score[item]):
            priority[item] = last[item]
        if sizes.size and sizes[position] > 0 and sizes[position] != size[item]:
            gain = sizes[position] - size[item]
            size[item] = sizes[position]
            heap.outgrown(order, place, priority, size, fill, item, gain)
        hits[position] = heap.request(order, place, priority, size, fill, item)
