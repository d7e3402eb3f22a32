"""A multilayer perceptron on the hand features, encoded piecewise-linearly, for any horizon."""

from __future__ import annotations

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.cascades.features import HORIZON_NAMES, NAMES
from models.forecasters.concat import Targets, compiled_head, nothing_beside, point_loss
from models.kernels import dense
from models.learning.layers import Head, PiecewiseLinear
from models.learning.loop import Network

COLUMNS = (*NAMES, *HORIZON_NAMES)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a network.

    Attributes:
        members: networks trained side by side.
        head: width of the hidden layers.
        bins: of the encoding.
        dropout: in the hidden layers, half of it at the inputs.
    """

    members: int = 4
    head: int = 96
    bins: int = 12
    dropout: float = 0.35


class MLPNetwork(Network):
    """The members' networks; they read a table of features, shape (n, horizons, columns)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.members = config.members
        self.table = PiecewiseLinear(len(COLUMNS), config.bins)
        self.head = Head(config.members, self.table.outputs, config.head, config.dropout)

    def fit_inputs(self, table: Tensor, targets: Targets) -> None:
        """Sets the scales of the inputs and the beginning of the output from training data."""
        self.table.fit(table.flatten(0, 1).numpy())
        self.head.start_at(float(targets.increments.mean()))

    def forward(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """Means (members, n, horizons) and quantiles (..., levels)."""
        n, horizons, _ = table.shape
        encoded = self.table(table.flatten(0, 1)).unflatten(0, (n, horizons))
        return self.head(encoded.expand(self.config.members, -1, -1, -1))

    def loss(self, table: Tensor, targets: Targets) -> Tensor:
        """Squared error of the mean and quantile loss, over members."""
        mean, quantiles = self(table)
        return point_loss(mean, quantiles, targets)

    @torch.no_grad()
    def predict(self, table: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean over members of the means, shape (n, horizons), and of the quantiles."""
        if table.device.type != "cpu":
            mean, quantiles = self(table)
            return mean.mean(0).double().cpu().numpy(), quantiles.mean(0).double().cpu().numpy()
        members, asked = self.config.members, table.numpy()
        nothing = np.empty((members, len(asked), 0), np.float32), nothing_beside(members, asked)
        answers = dense.head(*nothing, asked, *compiled_head(self.table, self.head))
        return answers[..., 0], answers[..., 1:]
