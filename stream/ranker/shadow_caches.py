"""What decisions about an edge are worth: caches of equal size on the same requests.

    obeying    follows the decisions in force, with their scores, and fills up by recency
    lru        least recently used: what most edges do by themselves
    decayed    the self-tuning decayed count, updated at each request: a cache that needs no stream

What the first answers beyond the second is what following the decisions gains. Where that was
nothing lately, there is no reason to send any.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.caches.scorecache import AdvisedCache
from models.caches.tuned import TunedCache

# What counts on of the past windows at the end of each: half of what counts is younger than 14.
_TRAILING = 0.95
# Requests that have to count before decisions are given up.
_LEAST_REQUESTS = 2_000
# Share of LRU's hits by which the obeying cache has to be ahead before decisions are sent again:
# at none it would go up and down.
_AHEAD = 0.01


class ShadowCaches:
    """The caches of one edge. Objects are small integers, dense from 0.

    Attributes:
        obeying: the cache that is advised.
        requests: of this epoch so far.
        hits: of those, in the obeying cache, LRU and the decayed count, shape (3,).
        gaining: whether following the decisions answers more than LRU lately.
    """

    def __init__(self, capacity: int) -> None:
        self.obeying = AdvisedCache(capacity)
        self._caches = (self.obeying, AdvisedCache(capacity), TunedCache(capacity))
        self.requests = 0
        self.hits = np.zeros(3, np.int64)
        self.gaining = True
        self._trailing = np.zeros(3)
        self._counting = 0.0  # requests that count

    def begin(self) -> None:
        """A new epoch: nothing counted yet."""
        self.requests = 0
        self.hits[:] = 0

    def replay(self, requests: NDArray[np.int32]) -> None:
        """Requests of the epoch, in order."""
        self.requests += requests.size
        self.hits += [cache.replay(requests).sum() for cache in self._caches]

    def ratios(self) -> tuple[float, float, float]:
        """Hit ratios of this epoch: obeying, LRU, decayed count."""
        obeying, lru, decayed = (self.hits / max(1, self.requests)).tolist()
        return obeying, lru, decayed

    def close(self, capacity: int) -> None:
        """Ends the epoch: judges whether there is a gain, and gives all caches their capacity."""
        self._trailing = _TRAILING * self._trailing + self.hits
        self._counting = _TRAILING * self._counting + self.requests
        obeying, lru, _ = self._trailing
        if self.gaining:
            self.gaining = self._counting < _LEAST_REQUESTS or bool(obeying > lru)
        else:
            self.gaining = bool(obeying > (1 + _AHEAD) * lru)
        for cache in self._caches:
            cache.resize(capacity)

    def forget(self, keep: NDArray[np.int64]) -> None:
        """Drops every object that is not in `keep`; `keep[i]` is called i from now on."""
        for cache in self._caches:
            cache.forget(keep)
