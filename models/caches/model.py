"""A trained ranker network as a model of the registry: its files, and the caches that it drives.

A version is the two files of `models.learning.network_files` beside the card. CacheMamba is stepped
by compiled kernels; the Transformer that it is compared with by PyTorch (extra `train`).
"""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import Any, ClassVar, Self

from models.caches.mamba_step import CompiledCacheMamba
from models.caches.neural import NeuralCache, NeuralRanker
from models.caches.request_history import FEATURES, TAUS
from models.caches.scorecache import Unit
from models.caches.stepper import HORIZONS, Config, Stepper
from models.caches.tuned import Objective
from models.extras import needed
from models.learning.network_files import load_network, save_network
from models.learning.weights import Weights, filled, single, weights_of


class RankerModel:
    """What makes rankers and caches of one network.

    Attributes:
        name: of the model.
        version: of the model.
        stepper: the network as caches use it; all share it.

    Args:
        config: of the network.
        weights: of the network, by name.
        version: of the model.

    Raises:
        ValueError: the weights are not those of such a network.
    """

    name: ClassVar[str]
    trained_as: ClassVar[str]  # module:Class of the PyTorch module

    def __init__(self, config: Config, weights: Weights, version: str = "0") -> None:
        self.config = config
        self.weights = weights
        self.version = version
        self.stepper: Stepper = self._stepper()

    @classmethod
    def untrained(cls, config: Config, seed: int) -> Any:
        """A network of this kind as it begins, a PyTorch module."""
        import torch

        torch.manual_seed(seed)
        return resolve_name(cls.trained_as)(config)

    @classmethod
    def of(cls, network: Any, version: str = "0") -> Self:
        """The model of a network that was trained."""
        return cls(network.config, weights_of(network), version)

    def ranker(
        self, cache_objects: int = 0, cache_share: float = 0.05, max_objects: int = 200_000
    ) -> NeuralRanker:
        """A ranker for one edge; see `models.caches.decayed.DecayedCountRanker`."""
        return NeuralRanker(
            self.stepper, self.name, self.version, cache_objects, cache_share, max_objects
        )

    def cache(
        self,
        capacity: int,
        unit: Unit = "objects",
        objective: Objective = "hits",
        fetch_cost: float = 0.0,
    ) -> NeuralCache:
        """A cache that goes by the network's scores."""
        return NeuralCache(self.stepper, capacity, unit, objective, fetch_cost)

    @classmethod
    def load(cls, folder: Path, version: str) -> Self:
        """The model in a folder that `save` wrote.

        Raises:
            OSError: a file cannot be read.
            ValueError: a file is not what it should be, or is of another network than this
                program's.
        """
        stored = load_network(folder, Config, _reads())
        try:
            return cls(stored.config, single(stored.weights), version)
        except (RuntimeError, ZeroDivisionError) as error:
            raise ValueError(f"{folder}: {error}") from error

    def save(self, folder: Path) -> None:
        """Writes the configuration and the weights into a folder that exists."""
        save_network(folder, self.config, self.weights, _reads())

    def _stepper(self) -> Stepper:
        with needed(f"{self.name} answers by PyTorch"):
            from models.caches.networks.ranker import TorchStepper
        return TorchStepper(filled(self.untrained(self.config, 0), self.weights))


class CacheMamba(RankerModel):
    """The selective state space; see `models.caches.networks.cachemamba`."""

    name = "cachemamba"
    trained_as = "models.caches.networks.cachemamba:CacheMambaNetwork"

    def _stepper(self) -> Stepper:
        return CompiledCacheMamba(self.config, self.weights)


class RankTransformer(RankerModel):
    """The Transformer beside it; see `models.caches.networks.rank_transformer`."""

    name = "transformer"
    trained_as = "models.caches.networks.rank_transformer:TransformerNetwork"


RANKERS: dict[str, type[RankerModel]] = {kind.name: kind for kind in (CacheMamba, RankTransformer)}


def _reads() -> dict[str, list[str] | list[float]]:
    return {"features": list(FEATURES), "time constants": [*TAUS], "horizons": [*HORIZONS]}
