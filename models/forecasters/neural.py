"""A trained network as a forecaster: what it reads, its calibration, and its files.

A version is three files: `config.json` (the network's configuration and the calibration),
`weights.safetensors` (in half precision, but for the scales of the inputs), and the card.

On a CPU compiled kernels answer. Where a network has a part that no kernel has, or was just
trained, PyTorch does (extra `train`).
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import Any, ClassVar, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.cascades.batch import Batch
from models.cascades.features import HORIZON_NAMES, NAMES, features_of
from models.cascades.sequences import CONTEXT, FEATURES, HORIZON
from models.extras import needed
from models.forecasters import casft, concat, mlp
from models.forecasters.calibration import Calibration
from models.forecasters.quantiles import settle
from models.forecasters.reading import FeatureForecaster
from models.interface import Increments, ReadingForecaster
from models.learning.network_files import Stored, load_network, save_network
from models.learning.weights import filled, single, verified


class NeuralForecaster(ReadingForecaster):
    """A network that answers for the members' mean.

    Attributes:
        kind: the module of its configuration and its kernels: `Config`, `Compiled`, `compiles`, and
            `shapes`.
        network: compiled kernels, or the PyTorch module in evaluation mode.
        calibration: of its answers.
    """

    kind: ClassVar[ModuleType]
    _trained_as: ClassVar[str]  # module:Class of the PyTorch module

    def __init__(
        self, network: Any, calibration: Calibration | None = None, version: str = "0"
    ) -> None:
        self.network = network
        self._weights: dict[str, NDArray[Any]] | None = None  # as a file had them
        self.calibration = Calibration() if calibration is None else calibration
        self.version = version

    @abstractmethod
    def observe(self, batch: Batch, horizons: NDArray[np.float64]) -> Any:
        """What the network reads of snapshots, each with horizons of its own, shape (n, h)."""

    def read(self, batch: Batch, horizons: NDArray[np.float64]) -> Any:
        """What the network reads of a batch."""
        return self.observe(batch, horizons)

    def answer(self, read: Any, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
        """The members' mean, calibrated and put in order."""
        mean, quantiles = self.network.predict(read)
        mean, quantiles = self.calibration.apply(mean, quantiles, batch, horizons)
        return settle(quantiles, mean, batch.ages, horizons)

    @classmethod
    def load(cls, folder: Path, version: str) -> Self:
        """The forecaster in a folder that `save` wrote.

        Raises:
            OSError: a file cannot be read.
            ValueError: a file is not what it should be, or is of another network than this
                program's.
        """
        stored = load_network(folder, cls.kind.Config, cls.reads())
        try:
            calibration = msgspec.convert(stored.told["calibration"], Calibration)
            network = cls._ready(stored)
        except (KeyError, RuntimeError, ZeroDivisionError) as error:
            raise ValueError(f"{folder}: {error}") from error
        model = cls(network, calibration, version)
        model._weights = stored.weights
        return model

    @classmethod
    def _ready(cls, stored: Stored) -> Any:
        kind, weights = cls.kind, single(stored.weights)
        if kind.compiles(stored.config):
            return kind.Compiled(stored.config, verified(weights, kind.shapes(stored.config)))
        with needed(f"{cls.name} with these parts answers by PyTorch"):
            network = cls.network_class()(stored.config)
        return filled(network, weights)

    @classmethod
    def network_class(cls) -> type[Any]:
        """The PyTorch module that is trained."""
        found: type[Any] = resolve_name(cls._trained_as)
        return found

    def save(self, folder: Path) -> None:
        """Writes the configuration and the weights into a folder that exists."""
        weights = _of_a_file(self.network) if self._weights is None else self._weights
        save_network(
            folder, self.network.config, weights, self.reads(), calibration=self.calibration
        )

    @classmethod
    @abstractmethod
    def reads(cls) -> list[str]:
        """Names of the numbers that the network reads, in order."""


class SequenceForecaster(NeuralForecaster):
    """What reads a cascade as its jumps."""

    @property
    def reading(self) -> str:  # type: ignore[override]
        """What it reads, by name: models that read alike share the reading."""
        return "jumps and structure" if self.network.structured else "jumps"

    def observe(self, batch: Batch, horizons: NDArray[np.float64]) -> concat.Observed:
        """A batch as the network takes it."""
        rows = np.arange(len(batch.ages))
        return concat.observe(
            batch, rows, batch.ages, batch.counts, horizons, self.network.structured
        )

    @classmethod
    def reads(cls) -> list[str]:
        """The names of the inputs, in order."""
        return [*FEATURES, *CONTEXT, *HORIZON]


class ConCat(SequenceForecaster):
    """The jump ODE; see `models.forecasters.concat`."""

    name = "concat"
    kind: ClassVar[ModuleType] = concat
    _trained_as: ClassVar[str] = "models.forecasters.networks.concat:ConCatNetwork"


class CasFT(SequenceForecaster):
    """The jump ODE carried on to the horizon, and trends; see `models.forecasters.casft`."""

    name = "casft"
    kind: ClassVar[ModuleType] = casft
    _trained_as: ClassVar[str] = "models.forecasters.networks.casft:CasFTNetwork"


class MLP(FeatureForecaster, NeuralForecaster):
    """The perceptron on hand features; see `models.forecasters.mlp`."""

    name = "mlp"
    kind: ClassVar[ModuleType] = mlp
    _trained_as: ClassVar[str] = "models.forecasters.networks.mlp:MLPNetwork"

    def observe(self, batch: Batch, horizons: NDArray[np.float64]) -> NDArray[np.float32]:
        """A batch as the network takes it."""
        return self._table(features_of(batch, horizons))

    def answer(
        self, read: NDArray[np.float64], batch: Batch, horizons: NDArray[np.float64]
    ) -> Increments:
        """The members' mean, calibrated and put in order."""
        return NeuralForecaster.answer(self, self._table(read), batch, horizons)

    @staticmethod
    def _table(rows: NDArray[np.float64]) -> NDArray[np.float32]:
        return rows.astype(np.float32)

    @classmethod
    def reads(cls) -> list[str]:
        """The names of the inputs, in order."""
        return [*NAMES, *HORIZON_NAMES]


def _of_a_file(network: Any) -> dict[str, NDArray[Any]]:
    """The weights of a PyTorch module as a file has them: in half precision what was learnt.

    A narrow bin of the inputs is less than half precision can tell, and its scale more.
    """
    learnt = {name for name, _ in network.named_parameters()}
    return {
        name: (value.half() if name in learnt else value).numpy()
        for name, value in network.state_dict().items()
    }
