"""The perceptron as it is trained; `models.forecasters.mlp` says what it is."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.forecasters import mlp
from models.forecasters.mlp import COLUMNS, Config
from models.forecasters.networks.concat import Targets, point_loss
from models.learning.layers import Head, PiecewiseLinear
from models.learning.loop import Network
from models.learning.weights import weights_of


class MLPNetwork(Network):
    """The members' networks; they read a table of features, shape (n, horizons, columns)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.members = config.members
        self.table = PiecewiseLinear(len(COLUMNS), config.bins)
        self.head = Head(config.members, self.table.outputs, config.head, config.dropout)

    def fit_inputs(self, table: NDArray[np.float32], targets: Targets) -> None:
        """Sets the scales of the inputs and the beginning of the output from training data."""
        self.table.fit(table.reshape(-1, table.shape[-1]))
        self.head.start_at(float(targets.increments.mean()))

    def forward(self, table: NDArray[np.float32] | Tensor) -> tuple[Tensor, Tensor]:
        """Means (members, n, horizons) and quantiles (..., levels)."""
        table = torch.as_tensor(table)
        n, horizons, _ = table.shape
        encoded = self.table(table.flatten(0, 1)).unflatten(0, (n, horizons))
        said: tuple[Tensor, Tensor] = self.head(encoded.expand(self.config.members, -1, -1, -1))
        return said

    def loss(self, table: NDArray[np.float32] | Tensor, targets: Targets) -> Tensor:
        """Squared error of the mean and quantile loss, over members."""
        mean, quantiles = self(table)
        return point_loss(mean, quantiles, targets)

    @torch.no_grad()
    def predict(
        self, table: NDArray[np.float32] | Tensor
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean over members of the means, shape (n, horizons), and of the quantiles."""
        if isinstance(table, np.ndarray):
            return mlp.Compiled(self.config, weights_of(self)).predict(table)
        mean, quantiles = self(table)
        return mean.mean(0).double().cpu().numpy(), quantiles.mean(0).double().cpu().numpy()
