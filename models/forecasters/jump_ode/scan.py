"""The jump ODE over ragged sequences as compiled kernels, with the gradient by hand.

They take the sequences as they are, one after the other, without padding, and what they say of one
does not depend on the others, to the bit. `models.forecasters.networks.jump_ode` has the equations.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from models.kernels.dense import add_product, copy
from models.kernels.vector_math import VECTORISES, exp, sigmoid, tanh


@njit(inline="always", **VECTORISES)
def flow_on(state, since, elapsed, rate, level, slope, out):
    """`AffineFlow` of one state."""
    for i in range(len(state)):
        line = level[i] + slope[i] * since
        faded = (state[i] - line) * exp(-rate[i] * elapsed)
        out[i] = line + slope[i] * elapsed + faded


@njit(inline="always", **VECTORISES)
def step(x, hidden, before, gate, after):
    """The unit at one jump: r, z and n into `gate`, what they make of the state into `after`."""
    width = len(before)
    for i in range(2 * width):
        gate[i] = sigmoid(x[i] + hidden[i])
    for i in range(width):
        n = tanh(x[2 * width + i] + gate[i] * hidden[2 * width + i])
        gate[2 * width + i] = n
        after[i] = n + gate[width + i] * (before[i] - n)


@njit(**VECTORISES)
def forward(
    first, last, offsets,
    inputs, clock, start, rate, level, slope, recurrent, bias,
    before, after, gates, hidden,
):  # fmt: skip
    """The states before and after each jump into `before` and `after`; `gates` for the way back."""
    width = start.shape[1]
    product = np.empty(3 * width, np.float32)
    for member in range(inputs.shape[0]):
        k, a, b = rate[member], level[member], slope[member]
        matrix, u = recurrent[member], bias[member]
        for sequence in range(first, last):
            now = np.float32(0)
            state = start[member]
            for jump in range(offsets[sequence], offsets[sequence + 1]):
                elapsed = max(clock[jump] - now, np.float32(0))
                pre, post, gate = before[member, jump], after[member, jump], gates[member, jump]
                x = inputs[member, jump]
                flow_on(state, now, elapsed, k, a, b, pre)
                now += elapsed
                copy(u, product)
                add_product(pre, matrix, product)
                hidden[member, jump] = product[2 * width :]
                step(x, product, pre, gate, post)
                state = post


@njit(**VECTORISES)
def backward(
    first, last, offsets,
    d_before, d_after, clock, start, rate, level, slope, transposed,
    before, after, gates, hidden,
    d_inputs, d_gates, d_flow,
):  # fmt: skip
    """The gradients of all that `forward` was given, into what is named after it."""
    width = start.shape[1]
    one = np.float32(1)
    d_state = np.empty(width, np.float32)
    d_pre = np.empty(width, np.float32)
    for member in range(before.shape[0]):
        k, a, b = rate[member], level[member], slope[member]
        matrix = transposed[member]
        d_start, d_rate = d_flow[0, member], d_flow[1, member]
        d_level, d_slope = d_flow[2, member], d_flow[3, member]
        for sequence in range(first, last):
            d_state[:] = 0
            begin = offsets[sequence]
            for jump in range(offsets[sequence + 1] - 1, begin - 1, -1):
                gate, pre = gates[member, jump], before[member, jump]
                kept = hidden[member, jump]
                d_x, d_g = d_inputs[member, jump], d_gates[member, jump]
                d_out, d_in = d_after[member, jump], d_before[member, jump]
                for i in range(width):
                    r, z, n = gate[i], gate[width + i], gate[2 * width + i]
                    d = d_out[i] + d_state[i]
                    d_n = d * (one - z) * (one - n * n)
                    d_r = d_n * kept[i] * r * (one - r)
                    d_z = d * (pre[i] - n) * z * (one - z)
                    d_x[i], d_x[width + i], d_x[2 * width + i] = d_r, d_z, d_n
                    d_g[i], d_g[width + i], d_g[2 * width + i] = d_r, d_z, d_n * r
                    d_pre[i] = d * z + d_in[i]
                add_product(d_g, matrix, d_pre)
                since = clock[jump - 1] if jump > begin else np.float32(0)
                elapsed = max(clock[jump] - since, np.float32(0))
                state = after[member, jump - 1] if jump > begin else start[member]
                for i in range(width):
                    decay = exp(-k[i] * elapsed)
                    faded = d_pre[i] * decay
                    away = state[i] - a[i] - b[i] * since
                    d_rate[i] -= faded * away * elapsed
                    d_level[i] += d_pre[i] - faded
                    d_slope[i] += d_pre[i] * (since + elapsed) - faded * since
                    d_state[i] = faded
            for i in range(width):
                d_start[i] += d_state[i]
