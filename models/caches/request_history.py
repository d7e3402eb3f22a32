"""The history of every requested object, as counts that decay by requests served.

An object's count at time constant tau is the sum of exp(-age / tau) over its requests, age in
requests served since (`models.caches.tuned` has the reasons for that clock). Ten time constants
side by side say how an object was requested lately and long ago; a mixture of them is a rate that
can be read at any later time without a request having to come:

    rate(v) = sum over k of w_k count_k exp(-(v - last) / tau_k) / norm_k(v),

its share of the requests, where norm_k is the decayed count of all requests (`norms`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from models.kernels import heap

TAUS: tuple[float, ...] = tuple(500.0 * 2**k for k in range(10))  # requests
# What a step tells of an object, beside its share at each of `TAUS`.
FEATURES = (
    "log requests since the last step of any",
    "log share of those requests",
    "log requests served since its own step before",
    "log requests served between its last two requests",
    "log age in requests served",
    "log requests so far",
)
WIDTH = len(FEATURES) + len(TAUS)
# Shares below this say no more than that there was nothing lately.
_LEAST_SHARE = 1e-9
# Of a history, with a row for each object.
_ARRAYS = ("counts", "last", "_gap", "_first", "_total", "_recent", "_stepped")


class RequestHistory:
    """Counts of the objects of one edge.

    Objects are small integers, dense from 0.

    Attributes:
        clock: requests served so far, in an array of one, so that kernels advance it.
        counts: decayed counts as of `last`, shape (objects, len(TAUS)).
        last: the clock at an object's last request, shape (objects,).
    """

    def __init__(self) -> None:
        self.clock = np.zeros(1, np.int64)
        self.taus = np.asarray(TAUS)
        self.counts = np.zeros((0, len(TAUS)))
        self.last = np.zeros(0)
        self._gap = np.zeros(0)  # requests served between the last two requests
        self._first = np.zeros(0)
        self._total = np.zeros(0)
        self._recent = np.zeros(0)  # requests since the last step of any object
        self._stepped = np.zeros(0)  # the clock at the object's last step

    def record(self, objects: ArrayLike) -> None:
        """Takes in requests in order."""
        codes = np.ascontiguousarray(objects, np.int32)
        if codes.size:
            self.grow(int(codes.max()) + 1)
            _record_all(codes, self.clock, self.taus, *self.arrays())

    def arrays(self) -> tuple[NDArray[np.float64], ...]:
        """What `record_one` works on, after the clock and the time constants."""
        return self.counts, self.last, self._gap, self._first, self._total, self._recent

    def grow(self, known: int) -> None:
        """Makes room for the objects below `known`."""
        if known > self.last.size:
            length = max(64, known + known // 2)
            self.counts = np.ascontiguousarray(heap.grown(self.counts.T, length, 0.0).T)
            for name in _ARRAYS[1:]:
                setattr(self, name, heap.grown(getattr(self, name), length, 0.0))

    def select(self, kept: NDArray[np.int64]) -> None:
        """Drops every object that is not in `kept`; `kept[i]` is called i from now on."""
        for name in _ARRAYS:
            setattr(self, name, getattr(self, name)[kept])

    def shares(self, objects: NDArray[np.int64]) -> NDArray[np.float64]:
        """Each object's share of the requests at each time constant, (objects, len(TAUS))."""
        faded = np.exp(-(self.clock[0] - self.last[objects])[:, None] / self.taus)
        result: NDArray[np.float64] = self.counts[objects] * faded / norms(self.clock[0], self.taus)
        return result

    def step(self) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """What is told of the objects that were requested since it was last asked.

        Returns:
            those objects, ascending; their features, shape (objects, WIDTH); and the requests
            served since each object's step before, in thousands, above 0; since its first request
            where there was none.
        """
        now = self.clock[0]
        objects = np.flatnonzero(self._recent)
        requests = self._recent[objects]
        self._recent[objects] = 0
        fresh = self._stepped[objects] == 0
        since = now - np.where(fresh, self._first[objects] - 1, self._stepped[objects])
        self._stepped[objects] = now
        columns = [
            np.log1p(requests),
            np.log(requests / requests.sum()),
            np.log(since),
            np.log1p(self._gap[objects]),
            np.log1p(now - self._first[objects]),
            np.log(self._total[objects]),
        ]
        shares = np.log(np.maximum(self.shares(objects), _LEAST_SHARE))
        features = np.concatenate([np.stack(columns, 1), shares], 1)
        return objects, features.astype(np.float32), (since / 1_000).astype(np.float32)


@njit(cache=True)
def norms(served: int, taus: Any) -> Any:
    """The decayed count of all requests, sum of exp(-age / tau) over ages 0 to served - 1."""
    return np.expm1(-served / taus) / np.expm1(-1 / taus)


@njit(cache=True, nogil=True)
def record_one(
    item: int, now: int, taus: Any, counts: Any, last: Any, gap: Any, first: Any, total: Any,
    recent: Any,
) -> None:  # fmt: skip
    """One request for `item`, the `now`-th of all."""
    for k in range(taus.size):
        counts[item, k] = counts[item, k] * np.exp((last[item] - now) / taus[k]) + 1.0
    if total[item] == 0:
        first[item] = now
    else:
        gap[item] = now - last[item]
    last[item] = now
    total[item] += 1
    recent[item] += 1


@njit(cache=True)
def blend(weights: Any, counts: Any, last: float, now: int, taus: Any, norms: Any) -> float:
    """log of an object's share by a mixture of its counts, whose last request was at `last`."""
    share = 0.0
    for k in range(taus.size):
        share += weights[k] * counts[k] * np.exp((last - now) / taus[k]) / norms[k]
    return np.log(share)


@njit(cache=True, nogil=True)
def _record_all(
    objects: Any, clock: Any, taus: Any, counts: Any, last: Any, gap: Any, first: Any, total: Any,
    recent: Any,
) -> None:  # fmt: skip
    for item in objects:
        clock[0] += 1
        record_one(item, clock[0], taus, counts, last, gap, first, total, recent)
