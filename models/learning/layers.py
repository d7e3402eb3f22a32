"""Layers that several neural forecasters share.

Networks come in members: several of the same shape, trained side by side on the same batches from
different beginnings, whose answers are averaged. Their first dimension is that of the members, so
that all of them are one batched matrix product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.interface import LEVELS

OUTPUTS = 1 + len(LEVELS)


class MemberLinear(nn.Module):
    """An affine layer for each member: (members, n, inputs) to (members, n, outputs)."""

    def __init__(self, members: int, inputs: int, outputs: int, gain: float = 1.0) -> None:
        super().__init__()
        bound = gain / max(inputs, 1) ** 0.5
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Each member by its own weights."""
        return torch.baddbmm(self.bias, inputs, self.weight)

    if TYPE_CHECKING:
        __call__ = forward


class PiecewiseLinear(nn.Module):
    """Each number as its position within each of its quantile bins, cut to [0, 1].

    What makes networks as good on tables as trees are (Gorishniy et al., On Embeddings for
    Numerical Features, NeurIPS 2022, section 3.1).
    """

    low: Tensor
    scale: Tensor

    def __init__(self, columns: int, bins: int) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(columns, bins))
        self.register_buffer("scale", torch.zeros(columns, bins))
        self.outputs = columns * bins

    def fit(self, values: NDArray[np.floating]) -> None:
        """Sets the bins to the quantiles of `values`, shape (n, columns)."""
        bins = self.low.shape[1]
        edges = np.quantile(values, np.linspace(0, 1, bins + 1), axis=0).T
        widths = np.diff(edges, axis=1)
        self.low.copy_(torch.from_numpy(edges[:, :-1].copy()))
        # A value that is most of the data fills bins of no width: they stay 0.
        scale = np.where(widths > 1e-6, 1 / np.maximum(widths, 1e-6), 0.0)
        self.scale.copy_(torch.from_numpy(scale))

    def forward(self, values: Tensor) -> Tensor:
        """(n, columns) to (n, columns x bins)."""
        return ((values[:, :, None] - self.low) * self.scale).clamp(0, 1).flatten(1)


class Head(nn.Module):
    """Two hidden layers, then the mean and the quantiles of log2(1 + increment)."""

    def __init__(self, members: int, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.first = MemberLinear(members, inputs, width)
        self.second = MemberLinear(members, width, width)
        self.last = MemberLinear(members, width, OUTPUTS, gain=0.1)
        self.dropout = dropout

    def start_at(self, mean: float) -> None:
        """Sets the output of an untrained head: the mean of the targets."""
        with torch.no_grad():
            self.last.bias[..., :2] = mean

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Means and quantiles.

        Args:
            inputs: shape (members, n, questions, inputs); the questions to one observation drop
                out the same numbers.

        Returns:
            shapes (members, n, questions) and (members, n, questions, levels).
        """
        shape = inputs.shape[1:3]
        hidden = self._drop(inputs, self.dropout / 2)
        for layer in (self.first, self.second):
            hidden = functional.silu(layer(hidden.flatten(1, 2))).unflatten(1, shape)
            hidden = self._drop(hidden, self.dropout)
        outputs = self.last(hidden.flatten(1, 2)).unflatten(1, shape)
        return outputs[..., 0], ordered(outputs[..., 1:])

    def _drop(self, inputs: Tensor, share: float) -> Tensor:
        if not self.training or not share:
            return inputs
        kept = torch.empty_like(inputs[:, :, :1]).bernoulli_(1 - share)
        return inputs * (kept / (1 - share))


def ordered(raw: Tensor) -> Tensor:
    """Quantiles in order: the median, then positive steps away from it.

    Args:
        raw: the median, two steps down and two steps up before softplus, shape (..., levels).
    """
    median = raw[..., :1]
    steps = functional.softplus(raw[..., 1:] - 0.5)
    down = torch.flip(torch.cumsum(steps[..., :2], -1), [-1])
    return torch.cat([median - down, median, median + torch.cumsum(steps[..., 2:], -1)], -1)


def pinball(quantiles: Tensor, targets: Tensor) -> Tensor:
    """Quantile loss at `LEVELS`, shape of `quantiles`; `targets` lack its last dimension."""
    levels = torch.as_tensor(LEVELS, dtype=quantiles.dtype, device=quantiles.device)
    error = targets[..., None] - quantiles
    return torch.maximum(levels * error, (levels - 1) * error)
