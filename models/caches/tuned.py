"""The decayed count as a cache that tunes itself.

Each request adds one to its object's count, and counts decay by exp(-1/tau) for each request
served: a clock of requests, not of seconds, so that a quiet night forgets nothing and a rush does
not outrun the counts. Scores are kept in logarithms as if they had never decayed,

    s <- logaddexp(s, v / tau),   v the requests served so far,

which leaves the order of all objects as it is until one is requested. Shadow caches run beside the
cache, one for each tau, all on the same requests; after every 1,000 of them the cache goes by the
tau whose shadow had most hits lately (forward decay: Cormode et al., ICDE 2009; tuning by shadow
caches: as in Waldspurger et al., USENIX ATC 2017).

`BlendedCache` adds scores that weigh an object's counts at all time constants, each with a shadow
of its own: it goes by one of those while that brings the most hits.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from models.caches.request_history import TAUS, RequestHistory, blend, norms, record_one
from models.caches.scorecache import ScoreCache, Unit
from models.kernels import heap

Objective = Literal["hits", "bytes", "cost"]
TUNE_EVERY = 1_000  # requests between two choices of tau
# Share of the past hits that counts on at each choice of tau: half of what counts is younger than
# some 7,000 requests.
TRAILING = 0.9
# The same for the choice between mixtures and plain counts, which differ by less: half of what
# counts is younger than some 14,000 requests.
STANDING = 0.95
# Requests after which the scores of mixtures are made current for what the caches hold; in a large
# cache more, so that it costs each request no more than this number of them.
REFRESH_EVERY = 64
_SPREAD = 8


class TunedCache(ScoreCache):
    """A score cache by decayed counts, at the best of several time constants.

    An answer from the cache is worth 1 for the objective `hits` (most requests answered), the
    object's bytes for `bytes` (most bytes answered), and `fetch_cost` plus its bytes for `cost`
    (most of the origin's cost saved). A score is a count times that worth, and with the capacity in
    bytes, per byte.

    Args:
        capacity: objects, or bytes if `unit` says so.
        unit: what the capacity counts.
        objective: what is to be answered from the cache.
        taus: time constants in requests, ascending.
        mixtures: further scores that shadows are kept for (`BlendedCache` fills them).
        fetch_cost: what a fetch from the origin costs beside its bytes, in the cost of a byte.
    """

    def __init__(
        self,
        capacity: int,
        unit: Unit = "objects",
        objective: Objective = "hits",
        taus: tuple[float, ...] = TAUS,
        mixtures: int = 0,
        fetch_cost: float = 0.0,
    ) -> None:
        if objective not in ("hits", "bytes", "cost"):
            raise ValueError(f"objective: got {objective!r}; expected 'hits', 'bytes' or 'cost'")
        if not 0 <= fetch_cost < np.inf:
            raise ValueError(f"fetch_cost: got {fetch_cost}; expected a number from 0")
        if not taus or list(taus) != sorted(set(taus)) or taus[0] <= 0:
            raise ValueError(f"taus: got {taus}; expected numbers above 0 in ascending order")
        rows = len(taus) + mixtures
        # A shadow for each row of scores, and followers, which go by the row that is best lately:
        # where there are mixtures one of plain counts, one of mixtures, and last the cache itself.
        followers = 3 if mixtures else 1
        super().__init__(capacity, unit, caches=rows + followers, rows=rows)
        self.objective = objective
        self._taus = np.asarray(taus, np.float64)
        # What an answer is worth: so much each, and so much a byte.
        self._each = {"hits": 1.0, "bytes": 0.0, "cost": fetch_cost}[objective]
        self._a_byte = float(objective != "hits")
        self._follows = np.full(followers, len(taus) // 2)  # the row of each follower
        if mixtures:
            self._follows[1] = len(taus) + mixtures // 2
        self._bytes = np.zeros(0, np.int64)
        self._trailing = np.zeros(rows, np.float64)
        self._lately = np.zeros(rows + followers, np.float64)
        self._standing = np.zeros(2, np.float64)  # of the followers of plain counts and mixtures
        self._history = RequestHistory()  # its counts are in use where there are mixtures
        self._weights = np.zeros((0, mixtures, len(TAUS)))
        self._refresh = REFRESH_EVERY

    @property
    def requests(self) -> int:
        """Requests served so far."""
        return int(self._history.clock[0])

    @property
    def tau(self) -> float | None:
        """The time constant in force, in requests; None where it is a mixture of several."""
        index = int(self._follows[-1])
        return float(self._taus[index]) if index < self._taus.size else None

    @property
    def in_force(self) -> str:
        """What the scores go by at present, in words."""
        return f"count that decays over {self.tau:g} requests"

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
            self._bytes, self._taus, self._history.clock, self._follows, self._trailing,
            self._lately, self._standing, self._each, self._a_byte, self.unit == "bytes",
            self._refresh, self._weights, *self._history.arrays(), hits,
        )  # fmt: skip
        return hits

    def log_shares(self, objects: ArrayLike) -> NDArray[np.float64]:
        """log of each object's share of the requests, by the score in force.

        Shape (objects,); -inf for an object that was never requested.
        """
        codes = np.asarray(objects, np.int64)
        row, served = int(self._follows[-1]), self.requests
        tau = float(self._taus[row])
        scores = self._priority[row, codes] - self._log_worth(codes)
        return scores - served / tau - np.log(max(norms(served, tau), 1.0))

    def _log_worth(self, objects: NDArray[np.int64]) -> NDArray[np.float64]:
        """log of what answering a request for each object is worth, for each unit it takes."""
        sizes = self._bytes[objects]
        worth = np.log(self._each + self._a_byte * sizes)
        return worth - np.log(sizes) if self.unit == "bytes" else worth

    def _grow(self, known: int) -> None:
        super()._grow(known)
        if self._size.size > self._bytes.size:
            self._bytes = heap.grown(self._bytes, self._size.size, 1)

    def _select(self, kept: NDArray[np.int64]) -> None:
        super()._select(kept)
        self._bytes = self._bytes[kept]

    def _row(self, cache: int) -> int:
        rows = self._trailing.size
        return cache if cache < rows else int(self._follows[cache - rows])


class BlendedCache(TunedCache):
    """A tuned cache that may also go by mixtures of an object's decayed counts.

    A mixture's score is log sum_k w_k share_k, w the object's own weights. It is made current at
    each of the object's requests and, since scores fade at no common pace, now and then for all
    that the caches hold.

    Args:
        capacity, unit, objective, fetch_cost: as of a `TunedCache`.
        prior: weights of objects that were given none, shape (mixtures, len(TAUS)).
    """

    def __init__(
        self,
        capacity: int,
        unit: Unit = "objects",
        objective: Objective = "hits",
        *,
        prior: NDArray[np.float64],
        fetch_cost: float = 0.0,
    ) -> None:
        super().__init__(capacity, unit, objective, mixtures=len(prior), fetch_cost=fetch_cost)
        self._prior = prior

    @property
    def history(self) -> RequestHistory:
        """The counts of all objects."""
        return self._history

    @property
    def mixture(self) -> int | None:
        """The mixture in force; None where it is a plain decayed count."""
        index = int(self._follows[-1]) - self._taus.size
        return index if index >= 0 else None

    def weigh(self, objects: NDArray[np.int64], weights: NDArray[np.float32]) -> None:
        """Gives objects the weights that their scores are made by from now on.

        Args:
            objects: each once.
            weights: of their counts, shape (objects, mixtures, len(TAUS)).
        """
        self._weights[objects] = weights

    def log_shares(self, objects: ArrayLike) -> NDArray[np.float64]:
        """log of the shares of requests that objects are expected to have, by what is in force."""
        if self.mixture is None:
            return super().log_shares(objects)
        codes = np.asarray(objects, np.int64)
        shares = np.einsum(
            "ok,ok->o", self._weights[codes, self.mixture], self._history.shares(codes)
        )
        # An object that was never requested has no share.
        return np.log(shares, out=np.full(shares.shape, -np.inf), where=shares > 0)

    def _grow(self, known: int) -> None:
        super()._grow(known)
        self._history.grow(self._size.size)
        missing = self._size.size - len(self._weights)
        if missing > 0:
            prior = np.broadcast_to(self._prior, (missing, *self._prior.shape))
            self._weights = np.concatenate([self._weights, prior])

    def _select(self, kept: NDArray[np.int64]) -> None:
        super()._select(kept)
        self._history.select(kept)
        self._weights = self._weights[kept]


@njit(cache=True)
def _log_worth(size: int, each: float, a_byte: float, by_bytes: bool) -> float:
    worth = np.log(each + a_byte * size)
    return worth - np.log(size) if by_bytes else worth


@njit(cache=True, nogil=True)
def _replay(
    objects: Any, sizes: Any, heaps: Any, places: Any, scores: Any, size: Any, fills: Any,
    known_bytes: Any, taus: Any, clock: Any, follows: Any, trailing: Any, lately: Any,
    standing: Any, each: float, a_byte: float, by_bytes: bool, refresh: int, weights: Any,
    counts: Any, last: Any, gap: Any, first: Any, total: Any, recent: Any, hits: Any,
) -> None:  # fmt: skip
    mixtures = weights.shape[1]
    rows = taus.size + mixtures
    # The row of scores that each cache goes by: of a shadow its own.
    row_of = np.arange(heaps.shape[0])
    for cache in range(follows.size):
        row_of[rows + cache] = follows[cache]
    everything = norms(clock[0], taus)
    for position in range(objects.size):
        item = objects[position]
        clock[0] += 1
        gain = 0
        if sizes.size and sizes[position] > 0:
            if by_bytes:
                gain = sizes[position] - known_bytes[item]
                size[item] = sizes[position]
            known_bytes[item] = sizes[position]
        gained = each + a_byte * known_bytes[item]
        worth = _log_worth(known_bytes[item], each, a_byte, by_bytes)
        for tau in range(taus.size):
            row = scores[tau]
            row[item] = np.logaddexp(row[item], clock[0] / taus[tau] + worth)
        if mixtures:
            record_one(item, clock[0], taus, counts, last, gap, first, total, recent)
            everything = everything * np.exp(-1 / taus) + 1
            for mixture in range(mixtures):
                scores[taus.size + mixture, item] = worth + blend(
                    weights[item, mixture], counts[item], last[item], clock[0], taus, everything
                )
            if clock[0] % max(refresh, fills[-1, heap.HELD] // _SPREAD) == 0:
                _make_current(
                    heaps, places, scores, size, fills, known_bytes, taus, clock[0], everything,
                    row_of, weights, counts, last, each, a_byte, by_bytes,
                )  # fmt: skip
        for cache in range(row_of.size):
            order, place, fill = heaps[cache], places[cache], fills[cache]
            row = scores[row_of[cache]]
            if gain:
                heap.outgrown(order, place, row, size, fill, item, gain)
            hit = heap.request(order, place, row, size, fill, item)
            if hit:
                lately[cache] += gained
            hits[position] = hit  # of the last of them, the cache itself
        if clock[0] % TUNE_EVERY == 0:
            trailing *= TRAILING
            trailing += lately[:rows]
            if mixtures:
                standing *= STANDING
                standing += lately[rows : rows + 2]
            lately[:] = 0.0
            before = row_of.copy()
            _choose(trailing, standing, taus.size, row_of[rows:])
            for cache in range(rows, row_of.size):
                follows[cache - rows] = row_of[cache]
                if row_of[cache] != before[cache]:
                    row = scores[row_of[cache]]
                    heap.reorder(heaps[cache], places[cache], row, size, fills[cache])


@njit(cache=True)
def _choose(trailing: Any, standing: Any, plain: int, follows: Any) -> None:
    """The rows to go by from now on: each follower's is left only for a better one."""
    for follower in range(max(1, follows.size - 1)):
        low, high = (0, plain) if follower == 0 else (plain, trailing.size)
        best = low + np.argmax(trailing[low:high])
        if trailing[best] > trailing[follows[follower]]:
            follows[follower] = best
    if follows.size > 1:
        follows[-1] = follows[1] if standing[1] > standing[0] else follows[0]


@njit(cache=True)
def _make_current(
    heaps: Any, places: Any, scores: Any, size: Any, fills: Any, known_bytes: Any, taus: Any,
    now: int, everything: Any, row_of: Any, weights: Any, counts: Any, last: Any, each: float,
    a_byte: float, by_bytes: bool,
) -> None:  # fmt: skip
    """Computes the scores of mixtures anew for what the caches that go by them hold."""
    for cache in range(row_of.size):
        mixture = row_of[cache] - taus.size
        if mixture >= 0:
            row = scores[row_of[cache]]
            for item in heaps[cache, : fills[cache, heap.HELD]]:
                row[item] = blend(
                    weights[item, mixture], counts[item], last[item], now, taus, everything
                ) + _log_worth(known_bytes[item], each, a_byte, by_bytes)
    # An object's score is one for all caches, so their orders follow when all scores stand.
    for cache in range(row_of.size):
        if row_of[cache] >= taus.size:
            row = scores[row_of[cache]]
            heap.reorder(heaps[cache], places[cache], row, size, fills[cache])
