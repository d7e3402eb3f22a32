"""CacheMamba, a step at a time, as compiled kernels: what inference on a CPU runs.

The same numbers as `models.caches.networks.cachemamba`, without PyTorch. An object's answer does
not depend on which others are stepped with it, to the bit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.caches.request_history import TAUS, WIDTH
from models.caches.stepper import FEATURE_LIMIT, HORIZONS, LIMIT, Config, Memory
from models.kernels.dense import add_product, copy, silu
from models.kernels.vector_math import VECTORISES, exp, sigmoid, softplus, tanh
from models.learning.weights import Shapes, Weights, named, verified, within

CONVOLUTION = 4  # steps that the convolution sees
EXPAND = 2  # inner width over the body's
RANKED = 16  # widths of the body for one of the step size's rank
_EPSILON = np.float32(np.finfo(np.float32).eps)  # of PyTorch's RMSNorm
_WEIGHTS = len(HORIZONS) * len(TAUS)


class Block(NamedTuple):
    """Weights of a Mamba block and of the norm before it, as `_block` takes them."""

    norm: NDArray[np.float32]
    enter: NDArray[np.float32]
    convolution: NDArray[np.float32]
    convolution_bias: NDArray[np.float32]
    select: NDArray[np.float32]
    pace: NDArray[np.float32]
    pace_bias: NDArray[np.float32]
    rate: NDArray[np.float32]
    through: NDArray[np.float32]
    leave: NDArray[np.float32]

    @classmethod
    def of(cls, weights: Weights) -> Block:
        """From the weights of a block of `CacheMambaNetwork`, by their names in it."""
        mamba = within(weights, "mamba")

        def turned(name: str) -> NDArray[np.float32]:
            return np.ascontiguousarray(mamba[f"{name}.weight"].T)

        return cls(
            weights["norm.weight"],
            turned("in_proj"),
            np.ascontiguousarray(mamba["conv1d.weight"][:, 0]),
            mamba["conv1d.bias"],
            turned("x_proj"),
            turned("dt_proj"),
            mamba["dt_proj.bias"],
            np.exp(mamba["A_log"]),
            mamba["D"],
            turned("out_proj"),
        )


class CompiledCacheMamba:
    """A trained network as its kernels have it; see `Stepper`.

    Args:
        config: of the network.
        weights: of the whole network, by name.

    Raises:
        ValueError: the weights are not those of such a network.
    """

    FIXED = True  # no part of a cache's state

    def __init__(self, config: Config, weights: Weights) -> None:
        verified(weights, shapes(config))
        self.config = config
        self.prior = weights["prior"]
        self._blocks = [Block.of(within(weights, f"blocks.{i}")) for i in range(config.layers)]
        self._embed = (
            weights["mean"], weights["scale"],
            np.ascontiguousarray(weights["embed.weight"].T), weights["embed.bias"],
        )  # fmt: skip
        self._weigh = (
            weights["norm.weight"], np.ascontiguousarray(weights["correct.weight"].T),
            weights["correct.bias"], np.ascontiguousarray(self.prior.reshape(-1)),
        )  # fmt: skip

    def start(self, objects: int) -> Memory:
        """See `Stepper`."""
        inner = EXPAND * self.config.width
        return [
            np.zeros((objects, inner, size), np.float32)
            for _ in self._blocks
            for size in (CONVOLUTION - 1, self.config.state)
        ]

    def step(
        self, features: NDArray[np.float32], memory: Memory, elapsed: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], Memory]:
        """See `Stepper`."""
        hidden = np.empty((len(features), self.config.width), np.float32)
        _enter(features, *self._embed, hidden)
        stepped = [part.copy() for part in memory]
        for number, block in enumerate(self._blocks):
            _block(hidden, *stepped[2 * number : 2 * number + 2], elapsed, *block)
        weights = np.empty((len(features), _WEIGHTS), np.float32)
        _leave(hidden, *self._weigh, weights)
        return weights.reshape(-1, *self.prior.shape), stepped


def shapes(config: Config) -> Shapes:
    """Shapes of the network's weights."""
    width, state = config.width, config.state
    inner, rank = EXPAND * width, math.ceil(width / RANKED)
    block: dict[str, tuple[int, ...]] = {
        "norm.weight": (width,),
        "mamba.A_log": (inner, state),
        "mamba.D": (inner,),
        "mamba.in_proj.weight": (2 * inner, width),
        "mamba.conv1d.weight": (inner, 1, CONVOLUTION),
        "mamba.conv1d.bias": (inner,),
        "mamba.x_proj.weight": (rank + 2 * state, inner),
        "mamba.dt_proj.weight": (inner, rank),
        "mamba.dt_proj.bias": (inner,),
        "mamba.out_proj.weight": (width, inner),
    }
    found: dict[str, tuple[int, ...]] = {
        "mean": (WIDTH,),
        "scale": (WIDTH,),
        "prior": (len(HORIZONS), len(TAUS)),
        "embed.weight": (width, WIDTH),
        "embed.bias": (width,),
        "norm.weight": (width,),
        "correct.weight": (_WEIGHTS, width),
        "correct.bias": (_WEIGHTS,),
    }
    for layer in range(config.layers):
        found |= named(f"blocks.{layer}", block)
    return found


@njit(**VECTORISES)
def _enter(features, mean, scale, embed, bias, hidden):
    """What the body reads of each object's features."""
    scaled = np.empty(features.shape[1], np.float32)
    limit = np.float32(FEATURE_LIMIT)
    for row in range(len(features)):
        for i in range(len(scaled)):
            scaled[i] = min(max((features[row, i] - mean[i]) * scale[i], -limit), limit)
        copy(bias, hidden[row])
        add_product(scaled, embed, hidden[row])


@njit(inline="always", **VECTORISES)
def _normalise(values, weight, out):
    """RMSNorm of one row."""
    total = np.float32(0)
    for i in range(len(values)):
        total += values[i] * values[i]
    factor = np.float32(1) / np.sqrt(total / np.float32(len(values)) + _EPSILON)
    for i in range(len(values)):
        out[i] = values[i] * factor * weight[i]


@njit(**VECTORISES)
def _block(
    hidden, conv, ssm, elapsed,
    norm, enter, convolution, convolution_bias, select, pace, pace_bias, rate, through, leave,
):  # fmt: skip
    """One block for each object: adds to `hidden`, and steps `conv` and `ssm`."""
    inner, reach, state = conv.shape[1], conv.shape[2], ssm.shape[2]
    rank = len(pace)
    normed = np.empty(hidden.shape[1], np.float32)
    entered = np.empty(2 * inner, np.float32)
    x = np.empty(inner, np.float32)
    chosen = np.empty(rank + 2 * state, np.float32)
    paces = np.empty(inner, np.float32)
    y = np.empty(inner, np.float32)
    for row in range(len(hidden)):
        _normalise(hidden[row], norm, normed)
        entered[:] = 0
        add_product(normed, enter, entered)
        for channel in range(inner):
            total = convolution_bias[channel]
            for lag in range(reach):
                total += conv[row, channel, lag] * convolution[channel, lag]
            x[channel] = total + entered[channel] * convolution[channel, reach]
            for lag in range(reach - 1):
                conv[row, channel, lag] = conv[row, channel, lag + 1]
            conv[row, channel, reach - 1] = entered[channel]
        silu(x)
        chosen[:] = 0
        add_product(x, select, chosen)
        copy(pace_bias, paces)
        add_product(chosen[:rank], pace, paces)
        for channel in range(inner):
            dt = softplus(paces[channel])
            passed = dt * elapsed[row]
            enters = dt * x[channel]
            total = np.float32(0)
            for n in range(state):
                decay = exp(-passed * rate[channel, n])
                ssm[row, channel, n] = decay * ssm[row, channel, n] + enters * chosen[rank + n]
                total += ssm[row, channel, n] * chosen[rank + state + n]
            gate = entered[inner + channel]
            y[channel] = (total + through[channel] * x[channel]) * gate * sigmoid(gate)
        add_product(y, leave, hidden[row])


@njit(**VECTORISES)
def _leave(hidden, norm, correct, bias, prior, weights):
    """Log weights of each object."""
    normed = np.empty(hidden.shape[1], np.float32)
    limit = np.float32(LIMIT)
    for row in range(len(hidden)):
        _normalise(hidden[row], norm, normed)
        copy(bias, weights[row])
        add_product(normed, correct, weights[row])
        for i in range(len(prior)):
            weights[row, i] = prior[i] + limit * tanh(weights[row, i] / limit)
