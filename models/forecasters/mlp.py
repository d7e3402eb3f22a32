"""A multilayer perceptron on the hand features, encoded piecewise-linearly, for any horizon.

Here is how a trained one answers on a CPU: by compiled kernels, without PyTorch.
`models.forecasters.networks.mlp` is the network as it is trained.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.cascades.features import HORIZON_NAMES, NAMES
from models.kernels import dense
from models.learning.weights import Shapes, Weights, named, within

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


class Compiled:
    """A trained network as its kernels have it.

    Args:
        config: of the network.
        weights: of the whole network.
    """

    def __init__(self, config: Config, weights: Weights) -> None:
        self.config = config
        self._members = config.members
        self._arrays = [
            weights["table.low"], weights["table.scale"],
            *dense.head_arrays(within(weights, "head")),
        ]  # fmt: skip

    def predict(
        self, table: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean over members of the means, shape (n, horizons), and of the quantiles."""
        states = np.empty((self._members, len(table), 0), np.float32)
        beside = dense.nothing_beside(self._members, table)
        answers = dense.head(states, beside, table, *self._arrays)
        return answers[..., 0], answers[..., 1:]


def compiles(config: Config) -> bool:
    """Compiled kernels answer for all of them."""
    return True


def shapes(config: Config) -> Shapes:
    """Shapes of the network's weights."""
    columns = len(COLUMNS)
    return {
        "table.low": (columns, config.bins),
        "table.scale": (columns, config.bins),
        **named("head", dense.head_shapes(config.members, columns * config.bins, config.head)),
    }
