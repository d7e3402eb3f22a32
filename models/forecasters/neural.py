"""A trained network as a forecaster: what it reads, its calibration, and its files.

A version is three files: `config.json` (the network's configuration and the calibration),
`weights.safetensors` (in half precision, but for the scales of the inputs), and the card.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from models.cascades.batch import Batch
from models.cascades.features import HORIZON_NAMES, NAMES, features_of
from models.forecasters import casft, concat, mlp
from models.forecasters.calibration import Calibration
from models.forecasters.quantiles import settle
from models.forecasters.reading import FeatureForecaster
from models.interface import Increments, ReadingForecaster
from models.learning.network_files import load_network, save_network


class NeuralForecaster(ReadingForecaster):
    """A network that answers for the members' mean.

    Attributes:
        network: in evaluation mode.
        calibration: of its answers.
    """

    network_class: ClassVar[type[Any]]
    config_class: ClassVar[type[Any]]

    def __init__(
        self, network: Any, calibration: Calibration | None = None, version: str = "0"
    ) -> None:
        self.network = network.eval()
        self.calibration = Calibration() if calibration is None else calibration
        self.version = version

    @abstractmethod
    def observe(self, batch: Batch, horizons: NDArray[np.float64]) -> Any:
        """What the network reads of snapshots, each with horizons of its own, shape (n, h)."""

    def read(self, batch: Batch, horizons: NDArray[np.float64]) -> Any:
        return self.observe(batch, horizons)

    def answer(self, read: Any, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
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
        stored = load_network(folder, cls.network_class, cls.config_class, cls.reads())
        try:
            calibration = msgspec.convert(stored.told["calibration"], Calibration)
        except KeyError as error:
            raise ValueError(f"{folder}: {error}") from error
        return cls(stored.network, calibration, version)

    def save(self, folder: Path) -> None:
        """Writes the configuration and the weights into a folder that exists."""
        # A narrow bin of the inputs is less than half precision can tell, and its scale more.
        learnt = {name for name, _ in self.network.named_parameters()}
        weights = {
            name: value.half() if name in learnt else value
            for name, value in self.network.state_dict().items()
        }
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
        return "jumps and structure" if self.network.structured else "jumps"

    def observe(self, batch: Batch, horizons: NDArray[np.float64]) -> concat.Observed:
        rows = np.arange(len(batch.ages))
        return concat.observe(
            batch, rows, batch.ages, batch.counts, horizons, self.network.structured
        )

    @classmethod
    def reads(cls) -> list[str]:
        return [*concat.FEATURES, *concat.CONTEXT, *concat.HORIZON]


class ConCat(SequenceForecaster):
    """The jump ODE; see `models.forecasters.concat`."""

    name = "concat"
    network_class = concat.ConCatNetwork
    config_class = concat.Config


class CasFT(SequenceForecaster):
    """The jump ODE carried on to the horizon, and trends; see `models.forecasters.casft`."""

    name = "casft"
    network_class = casft.CasFTNetwork
    config_class = casft.Config


class MLP(FeatureForecaster, NeuralForecaster):
    """The perceptron on hand features; see `models.forecasters.mlp`."""

    name = "mlp"
    network_class = mlp.MLPNetwork
    config_class = mlp.Config

    def observe(self, batch: Batch, horizons: NDArray[np.float64]) -> torch.Tensor:
        return self._table(features_of(batch, horizons))

    def answer(
        self, read: NDArray[np.float64], batch: Batch, horizons: NDArray[np.float64]
    ) -> Increments:
        return NeuralForecaster.answer(self, self._table(read), batch, horizons)

    @staticmethod
    def _table(rows: NDArray[np.float64]) -> torch.Tensor:
        return torch.from_numpy(rows.astype(np.float32))

    @classmethod
    def reads(cls) -> list[str]:
        return [*NAMES, *HORIZON_NAMES]
