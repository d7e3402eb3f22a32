"""The decayed count as a cache that tunes itself.

Each request adds one to its object's count, and counts decay by exp(-1/tau) for each request
served: a clock of requests, not of seconds, so that a quiet night forgets nothing and a rush does
not outrun the counts. Scores are kept in logarithms as if they had never decayed,

    s <- logaddexp(s, v / tau),   v the requests served so far,

which leaves the order of all objects as it is until one is requested. Shadow caches run beside the
cache, one for each tau, all on the same requests; after every 1,000 of them the cache goes by the
tau whose shadow had most hits lately (forward decay: Cormode et al., ICDE 2009; tuning by shadow
caches: as in Waldspurger et al., USENIX ATC 2017).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from models import heap
from models.scorecache import ScoreCache, Unit

Objective = Literal["hits", "bytes"]
TAUS: tuple[float, ...] = tuple(500.0 * 2**k for k in range(10))  # requests
TUNE_EVERY = 1_000  # requests between two choices of tau
# Share of the past hits that counts on at each choice of tau: half of what counts is younger than
# some 7,000 requests.
TRAILING = 0.9


class TunedCache(ScoreCache):
    """A score cache by decayed counts, at the best of several time constants.

    With the capacity in bytes a score is a count per byte for the objective `hits` (most requests
    answered) and a plain count for `bytes` (most bytes answered); with the capacity in objects a
    plain count for `hits` and a count times bytes for `bytes`.

    Args:
        capacity: objects, or bytes if `unit` says so.
        unit: what the capacity counts.
        objective: what is to be answered from the cache.
        taus: time constants in requests, ascending.
    """

    def __init__(
        self,
        capacity: int,
        unit: Unit = "objects",
        objective: Objective = "hits",
        taus: tuple[float, ...] = TAUS,
    ) -> None:
        if objective not in ("hits", "bytes"):
            raise ValueError(f"objective: got {objective!r}; expected 'hits' or 'bytes'")
        if not taus or list(taus) != sorted(set(taus)) or taus[0] <= 0:
            raise ValueError(f"taus: got {taus}; expected numbers above 0 in ascending order")
        # The last heap is the cache itself: it goes by the row of the tau in force.
        super().__init__(capacity, unit, caches=len(taus) + 1, rows=len(taus))
        self.objective = objective
        self._taus = np.asarray(taus, np.float64)
        # Power of an object's bytes in the worth of a request for it.
        self._power = float(objective == "bytes") - float(unit == "bytes")
        self._clock = np.array([0, len(taus) // 2], np.int64)  # requests, index of tau in force
        self._bytes = np.zeros(0, np.int64)
        self._trailing = np.zeros(len(taus), np.float64)
        self._lately = np.zeros(len(taus), np.float64)

    @property
    def requests(self) -> int:
        """Requests served so far."""
        return int(self._clock[0])

    @property
    def tau(self) -> float:
        """The time constant in force, in requests."""
        return float(self._taus[self._clock[1]])

    def replay(self, objects: ArrayLike, sizes: ArrayLike | None = None) -> NDArray[np.bool_]:
        """Whether each request was a hit, shape (requests,).

        Args:
            objects: index of the object of each request.
            sizes: its bytes, 0 where unknown.
        """
        codes, weights = self._requests(objects, sizes)
        hits = np.zeros(codes.size, np.bool_)
        _replay(
            codes, weights, self._heap, self._place, self._priority, self._size, self._fill,
            self._bytes, self._taus, self._clock, self._trailing, self._lately, self._power,
            self.unit == "bytes", self.objective == "bytes", hits,
        )  # fmt: skip
        return hits

    def log_shares(self, objects: ArrayLike) -> NDArray[np.float64]:
        """log of each object's share of the requests, by decayed counts at the tau in force.

        Shape (objects,); -inf for an object that was never requested.
        """
        codes = np.asarray(objects, np.int64)
        tau, served = self.tau, self.requests
        scores = self._priority[self._clock[1], codes] - self._power * np.log(self._bytes[codes])
        # The decayed count of all requests: sum of exp(-age / tau) over ages 0 .. served - 1.
        everything = -np.expm1(-served / tau) / -np.expm1(-1 / tau)
        return scores - served / tau - np.log(max(everything, 1.0))

    def _grow(self, known: int) -> None:
        super()._grow(known)
        if self._size.size > self._bytes.size:
            self._bytes = heap.grown(self._bytes, self._size.size, 1)

    def _select(self, kept: NDArray[np.int64]) -> None:
        super()._select(kept)
        self._bytes = self._bytes[kept]

    def _row(self, cache: int) -> int:
        return cache if cache < self._taus.size else int(self._clock[1])


@njit(cache=True, nogil=True)
def _replay(
    objects: Any, sizes: Any, heaps: Any, places: Any, scores: Any, size: Any, fills: Any,
    known_bytes: Any, taus: Any, clock: Any, trailing: Any, lately: Any, power: float,
    by_bytes: bool, count_bytes: bool, hits: Any,
) -> None:  # fmt: skip
    served = taus.size  # index of the cache itself; the others are the shadows
    for position in range(objects.size):
        item = objects[position]
        clock[0] += 1
        gain = 0
        if sizes.size and sizes[position] > 0:
            if by_bytes:
                gain = sizes[position] - known_bytes[item]
                size[item] = sizes[position]
            known_bytes[item] = sizes[position]
        worth = power * np.log(known_bytes[item])
        gained = float(known_bytes[item]) if count_bytes else 1.0
        for tau in range(served):
            row = scores[tau]
            row[item] = np.logaddexp(row[item], clock[0] / taus[tau] + worth)
            if gain:
                heap.outgrown(heaps[tau], places[tau], row, size, fills[tau], item, gain)
            if heap.request(heaps[tau], places[tau], row, size, fills[tau], item):
                lately[tau] += gained
        order, place, row, fill = heaps[served], places[served], scores[clock[1]], fills[served]
        if gain:
            heap.outgrown(order, place, row, size, fill, item, gain)
        hits[position] = heap.request(order, place, row, size, fill, item)
        if clock[0] % TUNE_EVERY == 0:
            trailing *= TRAILING
            trailing += lately
            lately[:] = 0.0
            best = np.argmax(trailing)
            if trailing[best] > trailing[clock[1]]:
                clock[1] = best
                heap.reorder(order, place, scores[best], size, fill)
