"""The ranker by exponentially decayed counts: no training, and hard to beat.

An object's score is its share of an edge's requests, estimated by a count that decays per request
served, times the requests that a window of this edge has lately brought. The half-life tunes
itself on shadow caches as large as the edge's own (`models.caches.tuned`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from models.caches.request_history import TAUS
from models.caches.tuned import Objective, TunedCache
from models.interface import Ranker
from topics.records import EdgeWindow

# Weight of the latest window in the mean of requests a window: traffic changes within the hour,
# yet one window alone is noisy.
_LATEST = 0.5
_FADE = 1 - _LATEST
# Share of the bound that is kept when it is passed, so that forgetting is rare.
_KEPT = 7 / 8


class DecayedCountRanker(Ranker):
    """Ranks the objects of one edge by decayed counts.

    Args:
        cache_objects: objects that the edge's cache holds; 0: `cache_share` decides.
        cache_share: the same as a share of the objects known.
        max_objects: objects remembered; beyond it those with the lowest scores are forgotten.
        objective: what the tuning counts, requests or bytes answered from the cache.
        taus: time constants to choose from, in requests, ascending.

    >>> ranker = DecayedCountRanker(cache_objects=2)
    >>> ranker.scores(["a"]).tolist()
    [-inf]
    """

    name = "decayed"
    version = "1"

    def __init__(
        self,
        cache_objects: int = 0,
        cache_share: float = 0.05,
        max_objects: int = 200_000,
        objective: Objective = "hits",
        taus: tuple[float, ...] = TAUS,
    ) -> None:
        self.max_objects = max_objects
        self.forgotten = 0
        self._share = 0.0 if cache_objects else cache_share
        self._cache = self._new_cache(max(1, cache_objects), objective, taus)
        self._codes: dict[str, int] = {}
        self._start: float | None = None  # of this window
        self._current = 0  # requests of this window so far
        # Faded sum of the requests of the windows before it, and of the weights of those windows.
        self._before = 0.0
        self._weight = 0.0

    def __len__(self) -> int:
        """Objects known."""
        return len(self._codes)

    @property
    def in_force(self) -> str:
        """What the scores go by at present, in words."""
        return self._cache.in_force

    def _new_cache(
        self, capacity: int, objective: Objective, taus: tuple[float, ...]
    ) -> TunedCache:
        return TunedCache(capacity, "objects", objective, taus)

    def step(self, window: EdgeWindow) -> None:
        """Takes in the requests of one window (or of one part of a large window)."""
        codes = self._encode(window.objects)
        if self._share:
            self._cache.resize(max(1, round(self._share * len(self._codes))))
        order = window.requests()
        self._cache.replay(codes[order], window.sizes()[order])
        self._count(window, order.size)
        if len(self._codes) > self.max_objects:
            self._forget()

    def scores(self, objects: Sequence[str]) -> NDArray[np.float64]:
        """log of the expected requests in the next window, shape (len(objects),).

        -inf for an object that was never requested, or was forgotten.
        """
        codes = np.fromiter(map(self._codes.get, objects, repeat(-1)), np.int64, len(objects))
        known = codes >= 0
        scores = np.full(codes.size, -np.inf)
        if known.any():
            mean = (self._before * _FADE + self._current * _LATEST) / (
                self._weight * _FADE + _LATEST
            )
            scores[known] = self._cache.log_shares(codes[known]) + np.log(mean)
        return scores

    def _encode(self, objects: Sequence[str]) -> NDArray[np.int32]:
        codes = self._codes
        return np.fromiter(
            (codes.setdefault(name, len(codes)) for name in objects), np.int32, len(objects)
        )

    def _count(self, window: EdgeWindow, requests: int) -> None:
        """Keeps the mean of requests a window; windows that never came had none."""
        if self._start is not None and window.start != self._start:
            missing = max(0, round((window.start - self._start) / window.length) - 1)
            silent = _FADE**missing
            self._before = (self._before * _FADE + self._current * _LATEST) * silent
            self._weight = 1 - (1 - self._weight) * _FADE * silent
            self._current = 0
        self._start = window.start
        self._current += requests

    def _forget(self) -> None:
        scores = self._cache.log_shares(np.arange(len(self._codes)))
        count = max(1, int(self.max_objects * _KEPT))
        keep = np.sort(np.argsort(-scores, kind="stable")[:count])
        names = list(self._codes)
        self._codes = {names[i]: code for code, i in enumerate(keep.tolist())}
        self._select(keep)
        self.forgotten += len(names) - len(keep)

    def _select(self, kept: NDArray[np.int64]) -> None:
        """Drops every object that is not in `kept`; `kept[i]` is called i from now on."""
        self._cache.forget(kept)
