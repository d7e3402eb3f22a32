"""What CasFT's head reads beside the state, as a compiled kernel: what inference on a CPU runs.

The same numbers as the flow, `Intensity` and `Denoiser` one after the other: the flow goes on from
the age through the parts of the time to each horizon, the intensity along it is the events that
each part is to expect, and the denoiser, asked at full noise, says the mean trend. As in
`models.forecasters.jump_ode.states` an answer does not depend on what else is asked in the same
call, to the bit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.forecasters.jump_ode.scan import flow_on
from models.forecasters.jump_ode.states import JumpWeights
from models.kernels.dense import add_product, copy, encode, silu
from models.kernels.vector_math import VECTORISES, softplus
from models.learning.weights import Weights, affine, named

# Of the diffusion (`models.forecasters.networks.diffusion`).
STEPS = 1_000
TIME_WIDTH = 20
LEAST_SHARE = 1e-5  # of the clean vector's variance
LEAST = 1e-6  # of an intensity, events a unit of the clock


class TrendWeights:
    """What says the events to expect and the mean trend.

    Args:
        intensity: weights of an `Intensity`, by name.
        denoiser: of a `Denoiser`.
        table: bounds and scales of the piecewise-linear encoding.
        jump: of the jump ODE, whose flow goes on.
    """

    def __init__(
        self,
        intensity: Weights,
        denoiser: Weights,
        table: tuple[NDArray[np.float32], NDArray[np.float32]],
        jump: JumpWeights,
    ) -> None:
        self.parts = denoiser["last.weight"].shape[2]
        # Asked at full noise, of which what is left of the vector is the same for all: nothing.
        told = np.zeros(self.parts + TIME_WIDTH, np.float32)
        told[self.parts :] = timed(np.array([float(STEPS)]))[0]
        first = told @ denoiser["first.weight"] + denoiser["first.bias"][:, 0]
        self.arrays: list[NDArray[np.float32]] = [jump.rate, jump.level, jump.slope, *table]
        for weights, layers in (
            (intensity, ("inner", "outer")),
            (denoiser, ("condition", "second", "third", "last")),
        ):
            for layer in layers:
                self.arrays += [weights[f"{layer}.weight"], weights[f"{layer}.bias"]]
        self.arrays.append(np.ascontiguousarray(first[:, None]))


def timed(steps: NDArray[np.float64]) -> NDArray[np.float32]:
    """Numbers that tell steps of the diffusion, shape (steps, TIME_WIDTH)."""
    octaves = np.arange(TIME_WIDTH // 2) / (TIME_WIDTH // 2)
    angles = steps[:, None] * np.exp(-octaves * math.log(1e4))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def denoiser_shapes(
    members: int, size: int, condition: int, width: int = 96
) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights of a `Denoiser`."""
    return {
        **named("condition", affine(members, condition, width)),
        **named("first", affine(members, size + TIME_WIDTH, width)),
        **named("second", affine(members, width, width)),
        **named("third", affine(members, width, width)),
        **named("last", affine(members, width, size)),
    }


def trends_ahead(
    states: NDArray[np.float32],
    until: NDArray[np.float32],
    horizons: NDArray[np.float32],
    numbers: NDArray[np.float32],
    weights: TrendWeights,
) -> NDArray[np.float32]:
    """Log of the events to expect in each part, and the mean trend.

    Args:
        states: at the observations, shape (members, n, width).
        until: clock at them, shape (n,).
        horizons: clock at each horizon, shape (n, horizons).
        numbers: before they are encoded, shape (n, horizons, columns).
        weights: of the network.

    Returns:
        shape (members, n, horizons, 2 x parts).
    """
    out = np.empty((*states.shape[:2], horizons.shape[1], 2 * weights.parts), np.float32)
    strength = np.float32(math.sqrt(1 - LEAST_SHARE))
    arrays: list[Any] = [states, until, horizons, numbers, strength, *weights.arrays, out]
    _ahead(*arrays)
    return out


@njit(**VECTORISES)
def _ahead(
    states, until, horizons, numbers, strength,
    rate, level, slope, low, scale,
    inner, inner_bias, outer, outer_bias, condition, condition_bias,
    second, second_bias, third, third_bias, last, last_bias, first,
    out,
):  # fmt: skip
    members, rows, width = states.shape
    parts = out.shape[3] // 2
    encoded = np.empty(low.size, np.float32)
    ahead = np.empty(width, np.float32)
    hidden = np.empty(inner.shape[2], np.float32)
    one = np.empty(second.shape[1], np.float32)
    two = np.empty(second.shape[1], np.float32)
    zero = np.float32(0)
    for row in range(rows):
        for question in range(horizons.shape[1]):
            encode(numbers[row, question], low, scale, encoded)
            span = max(horizons[row, question] - until[row], zero)
            for member in range(members):
                state = states[member, row]
                expected = out[member, row, question, :parts]
                trend = out[member, row, question, parts:]
                for part in range(parts):
                    elapsed = span * np.float32((part + 1) / parts)
                    flow_on(
                        state, until[row], elapsed, rate[member], level[member], slope[member],
                        ahead,
                    )  # fmt: skip
                    copy(inner_bias[member, 0], hidden)
                    add_product(ahead, inner[member], hidden)
                    events = outer_bias[member, 0, 0]
                    for index in range(len(hidden)):
                        hidden[index] = softplus(hidden[index])
                    for index in range(len(hidden)):
                        events += hidden[index] * outer[member, index, 0]
                    events = max(softplus(events), np.float32(LEAST))
                    expected[part] = math.log1p(events * span / parts)
                for index in range(len(one)):
                    one[index] = condition_bias[member, 0, index] + first[member, 0, index]
                matrix = condition[member]
                add_product(state, matrix[:width], one)
                add_product(expected, matrix[width : width + parts], one)
                add_product(encoded, matrix[width + parts :], one)
                silu(one)
                copy(second_bias[member, 0], two)
                add_product(one, second[member], two)
                silu(two)
                copy(third_bias[member, 0], one)
                add_product(two, third[member], one)
                silu(one)
                copy(last_bias[member, 0], trend)
                add_product(one, last[member], trend)
                for part in range(parts):
                    trend[part] *= strength
