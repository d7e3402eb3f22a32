"""A trained ranker network as a model of the registry: its files, and the caches that it drives.

A version is the two files of `models.learning.network_files` beside the card.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import torch

from models.caches.networks.cachemamba import CacheMambaNetwork
from models.caches.networks.rank_transformer import TransformerNetwork
from models.caches.networks.ranker import HORIZONS, Config, RankerNetwork
from models.caches.neural import NeuralCache, NeuralRanker
from models.caches.request_history import FEATURES, TAUS
from models.caches.scorecache import Unit
from models.caches.tuned import Objective
from models.learning.network_files import load_network, save_network


class RankerModel:
    """What makes rankers and caches of one network.

    Attributes:
        name: of the model.
        version: of the model.
        network: in evaluation mode; all rankers share it.
    """

    name: ClassVar[str]
    network_class: ClassVar[type[Any]]

    def __init__(self, network: RankerNetwork, version: str = "0") -> None:
        self.network = network.eval()
        self.version = version

    @classmethod
    def untrained(cls, config: Config, seed: int) -> RankerNetwork:
        """A network of this kind as it begins."""
        torch.manual_seed(seed)
        network: RankerNetwork = cls.network_class(config)
        return network

    def ranker(
        self, cache_objects: int = 0, cache_share: float = 0.05, max_objects: int = 200_000
    ) -> NeuralRanker:
        """A ranker for one edge; see `models.caches.decayed.DecayedCountRanker`."""
        return NeuralRanker(
            self.network, self.name, self.version, cache_objects, cache_share, max_objects
        )

    def cache(
        self,
        capacity: int,
        unit: Unit = "objects",
        objective: Objective = "hits",
        fetch_cost: float = 0.0,
    ) -> NeuralCache:
        """A cache that goes by the network's scores."""
        return NeuralCache(self.network, capacity, unit, objective, fetch_cost)

    @classmethod
    def load(cls, folder: Path, version: str) -> Self:
        """The model in a folder that `save` wrote.

        Raises:
            OSError: a file cannot be read.
            ValueError: a file is not what it should be, or is of another network than this
                program's.
        """
        stored = load_network(folder, cls.network_class, Config, _reads())
        return cls(stored.network, version)

    def save(self, folder: Path) -> None:
        """Writes the configuration and the weights into a folder that exists."""
        save_network(folder, self.network.config, self.network.state_dict(), _reads())


class CacheMamba(RankerModel):
    """The selective state space; see `models.caches.networks.cachemamba`."""

    name = "cachemamba"
    network_class = CacheMambaNetwork


class RankTransformer(RankerModel):
    """The Transformer beside it; see `models.caches.networks.rank_transformer`."""

    name = "transformer"
    network_class = TransformerNetwork


RANKERS: dict[str, type[RankerModel]] = {kind.name: kind for kind in (CacheMamba, RankTransformer)}


def _reads() -> dict[str, list[str] | list[float]]:
    return {"features": list(FEATURES), "time constants": [*TAUS], "horizons": [*HORIZONS]}
