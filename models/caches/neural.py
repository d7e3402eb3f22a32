"""A cache whose scores a neural network corrects, and the ranker of one edge that goes by it.

After every few hundred requests the objects that were requested among them are stepped, whatever
the catalogue and however long their histories, and get new weights for their decayed counts. Shadow
caches say whether a mixture by those weights or a plain decayed count answers more requests lately;
the cache and the ranker go by that one (`models.caches.tuned.BlendedCache`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.caches.decayed import DecayedCountRanker
from models.caches.scorecache import Unit
from models.caches.stepper import HORIZONS, Stepper
from models.caches.tuned import BlendedCache, Objective, TunedCache


class NeuralCache(BlendedCache):
    """A blended cache that steps a network every `network.config.every` requests.

    The memory of all objects is a few arrays, a row for each.

    Args:
        network: trained; caches may share one.
        capacity, unit, objective, fetch_cost: as of a `TunedCache`.
    """

    def __init__(
        self,
        network: Stepper,
        capacity: int,
        unit: Unit = "objects",
        objective: Objective = "hits",
        fetch_cost: float = 0.0,
    ) -> None:
        prior = np.exp(network.prior).astype(np.float64)
        super().__init__(capacity, unit, objective, prior=prior, fetch_cost=fetch_cost)
        self._network = network
        self._memory = network.start(0)

    @property
    def in_force(self) -> str:
        """What the scores go by at present, in words."""
        if self.mixture is None:
            return super().in_force
        return f"mixture for a horizon of {HORIZONS[self.mixture]:g} requests"

    def replay(self, objects: ArrayLike, sizes: ArrayLike | None = None) -> NDArray[np.bool_]:
        """Replays requests, and steps the network each time that enough have come."""
        codes, weights = self._requests(objects, sizes)
        every, start = self._network.config.every, 0
        hits = np.zeros(codes.size, np.bool_)
        # How the requests are divided into calls makes no difference.
        while start < codes.size:
            part = slice(start, start + every - self.requests % every)
            hits[part] = super().replay(codes[part], weights[part] if weights.size else None)
            if self.requests % every == 0:
                self._step()
            start = part.stop
        return hits

    def _step(self) -> None:
        """Steps the objects that were requested since the last step."""
        objects, features, elapsed = self.history.step()
        memory = [part[objects] for part in self._memory]
        weights, stepped = self._network.step(features, memory, elapsed)
        for part, new in zip(self._memory, stepped, strict=True):
            part[objects] = new
        self.weigh(objects, np.exp(weights))

    def _grow(self, known: int) -> None:
        super()._grow(known)
        missing = self._size.size - len(self._memory[0])
        if missing > 0:
            new = self._network.start(missing)
            self._memory = [np.concatenate(pair) for pair in zip(self._memory, new, strict=True)]

    def _select(self, kept: NDArray[np.int64]) -> None:
        super()._select(kept)
        self._memory = [part[kept] for part in self._memory]


class NeuralRanker(DecayedCountRanker):
    """Ranks the objects of one edge by mixtures of their decayed counts.

    Args:
        network: trained; rankers may share one.
        name, version: of the model.
        cache_objects, cache_share, max_objects, objective: as of a `DecayedCountRanker`.
    """

    def __init__(
        self,
        network: Stepper,
        name: str,
        version: str,
        cache_objects: int = 0,
        cache_share: float = 0.05,
        max_objects: int = 200_000,
        objective: Objective = "hits",
    ) -> None:
        self.name = name
        self.version = version
        self._network = network
        super().__init__(cache_objects, cache_share, max_objects, objective)

    def _new_cache(
        self, capacity: int, objective: Objective, taus: tuple[float, ...]
    ) -> TunedCache:
        return NeuralCache(self._network, capacity, "objects", objective)
