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
import torch
from numba import njit
from numpy.typing import NDArray

from models.forecasters.jump_ode.diffusion import STEPS, Denoiser, signal_share
from models.forecasters.jump_ode.flows import AffineFlow
from models.forecasters.jump_ode.intensity import LEAST, Intensity
from models.forecasters.jump_ode.scan import flow_on
from models.kernels.dense import add_product, encode, silu
from models.kernels.vector_math import VECTORISES, softplus
from models.learning.layers import PiecewiseLinear


def trends_ahead(
    states: NDArray[np.float32],
    until: NDArray[np.float32],
    horizons: NDArray[np.float32],
    numbers: NDArray[np.float32],
    flow: AffineFlow,
    intensity: Intensity,
    table: PiecewiseLinear,
    denoiser: Denoiser,
) -> NDArray[np.float32]:
    """Log of the events to expect in each part, and the mean trend.

    Args:
        states: at the observations, shape (members, n, width).
        until: clock at them, shape (n,).
        horizons: clock at each horizon, shape (n, horizons).
        numbers: before `table` encodes them, shape (n, horizons, columns).
        flow, intensity, table, denoiser: of the network.

    Returns:
        shape (members, n, horizons, 2 x parts).
    """
    full = torch.full((1,), float(STEPS))
    layers = [intensity.inner, intensity.outer, denoiser.condition, denoiser.second]
    tensors = [flow.log_rate.exp(), flow.level, flow.slope, table.low, table.scale]
    for layer in (*layers, denoiser.third, denoiser.last):
        tensors += [layer.weight, layer.bias]
    with torch.no_grad():
        # The noisy vector of full noise is taken for nothing: what is left is the same for all.
        nothing = torch.zeros(len(states), 1, denoiser.size)
        tensors.append(denoiser.first(denoiser.timed(nothing, full)))
    arrays: list[Any] = [tensor.detach().numpy() for tensor in tensors]
    strength = np.float32((1 - signal_share(full)).sqrt().item())
    out = np.empty((*states.shape[:2], horizons.shape[1], 2 * denoiser.size), np.float32)
    _ahead(states, until, horizons, numbers, strength, *arrays, out)
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
                    hidden[:] = inner_bias[member, 0]
                    add_product(ahead, inner[member], hidden)
                    events = outer_bias[member, 0, 0]
                    for index in range(len(hidden)):
                        hidden[index] = softplus(hidden[index])
                    for index in range(len(hidden)):
                        events += hidden[index] * outer[member, index, 0]
                    events = max(softplus(events), np.float32(LEAST))
                    expected[part] = math.log1p(events * span / parts)
                one[:] = condition_bias[member, 0] + first[member, 0]
                matrix = condition[member]
                add_product(state, matrix[:width], one)
                add_product(expected, matrix[width : width + parts], one)
                add_product(encoded, matrix[width + parts :], one)
                silu(one)
                two[:] = second_bias[member, 0]
                add_product(one, second[member], two)
                silu(two)
                one[:] = third_bias[member, 0]
                add_product(two, third[member], one)
                silu(one)
                trend[:] = last_bias[member, 0]
                add_product(one, last[member], trend)
                for part in range(parts):
                    trend[part] *= strength
