"""The selective scan over ragged sequences as a compiled kernel, with its gradient by hand.

Sequences lie one after the other without padding, and what is said of one does not depend on the
others, to the bit. `models.caches.networks.selective_scan` has the definition.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from models.kernels.threads import chunks, in_threads
from models.kernels.vector_math import VECTORISES, exp


def selective_scan_compiled(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, elapsed: Tensor,
    offsets: NDArray[np.int64],
) -> Tensor:  # fmt: skip
    """y of each step, shape (steps, channels); float32 on a CPU, with a gradient.

    Args:
        x: input, shape (steps, channels).
        dt: step sizes, at least 0, shape (steps, channels).
        A: rates of decay, negative, shape (channels, state).
        B: how the input enters the state, shape (steps, state).
        C: how the state is read, shape (steps, state).
        elapsed: time since the step before, shape (steps,). It gets no gradient.
        offsets: steps of sequence i are those from `offsets[i]` to `offsets[i + 1]`.
    """
    y: Tensor = _Scan.apply(x, dt, A, B, C, elapsed, offsets)  # type: ignore[no-untyped-call]
    return y


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, elapsed: Tensor,
        offsets: NDArray[np.int64],
    ) -> Tensor:  # fmt: skip
        y = torch.empty_like(x, memory_format=torch.contiguous_format)
        in_threads(_forward, offsets, [*_arrays(x, dt, A.T, B, C, elapsed), y.numpy()])
        context.offsets = offsets
        context.save_for_backward(x, dt, A, B, C, elapsed)
        return y

    @staticmethod
    def backward(context: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, dt, A, B, C, elapsed = context.saved_tensors
        offsets = context.offsets
        d_x, d_dt, d_B, d_C = (torch.empty_like(t) for t in (x, dt, B, C))
        # One sum a thread.
        d_A = np.zeros((len(chunks(offsets)), A.shape[1], A.shape[0]), np.float32)
        arrays = _arrays(outputs[0], x, dt, A.T, B, C, elapsed)
        in_threads(_backward, offsets, [*arrays, *_arrays(d_x, d_dt, d_B, d_C)], d_A)
        return d_x, d_dt, torch.from_numpy(d_A.sum(0).T), d_B, d_C, None, None


def _arrays(*tensors: Tensor) -> list[NDArray[np.float32]]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


# Channels are the innermost axis of everything, so that loops over them run in vector registers.


@njit(inline="always", **VECTORISES)
def _advance(state, x, dt, A, B, C, elapsed, y):
    """One step of one sequence: `state`, shape (state, channels), in place, and `y`, (channels,).

    `A` has the shape of the state; `x`, `dt` and `y` are of shape (channels,), B and C (state,).
    """
    channels = len(x)
    for d in range(channels):
        y[d] = 0
    for n in range(len(B)):
        rate, component, b, c = A[n], state[n], B[n], C[n]
        for d in range(channels):
            h = exp(dt[d] * elapsed * rate[d]) * component[d] + dt[d] * b * x[d]
            component[d] = h
            y[d] += c * h


@njit(**VECTORISES)
def _forward(first, last, offsets, x, dt, A, B, C, elapsed, y):
    state = np.empty(A.shape, np.float32)
    for sequence in range(first, last):
        state[:] = 0
        for t in range(offsets[sequence], offsets[sequence + 1]):
            _advance(state, x[t], dt[t], A, B[t], C[t], elapsed[t], y[t])


@njit(**VECTORISES)
def _backward(first, last, offsets, d_y, x, dt, A, B, C, elapsed, d_x, d_dt, d_B, d_C, d_A):
    size, channels = A.shape
    longest = 0
    for sequence in range(first, last):
        longest = max(longest, offsets[sequence + 1] - offsets[sequence])
    # States and decays of one sequence, computed again: kept from the pass forward they would be
    # by far the largest tensors of a training.
    states = np.empty((longest + 1, size, channels), np.float32)
    decays = np.empty((longest, size, channels), np.float32)
    d_state = np.empty((size, channels), np.float32)
    d_dot = np.empty(channels, np.float32)
    for sequence in range(first, last):
        begin, end = offsets[sequence], offsets[sequence + 1]
        states[0] = 0
        for t in range(begin, end):
            before, after, decay = states[t - begin], states[t - begin + 1], decays[t - begin]
            for n in range(size):
                b = B[t, n]
                for d in range(channels):
                    decay[n, d] = exp(dt[t, d] * elapsed[t] * A[n, d])
                    after[n, d] = decay[n, d] * before[n, d] + dt[t, d] * b * x[t, d]
        d_state[:] = 0
        for t in range(end - 1, begin - 1, -1):
            before, after, decay = states[t - begin], states[t - begin + 1], decays[t - begin]
            d_x[t] = 0
            d_dt[t] = 0
            for n in range(size):
                b, c, e = B[t, n], C[t, n], elapsed[t]
                for d in range(channels):
                    d_h = d_state[n, d] + d_y[t, d] * c
                    d_decay = d_h * before[n, d] * decay[n, d] * e
                    d_dt[t, d] += d_h * b * x[t, d] + d_decay * A[n, d]
                    d_x[t, d] += d_h * b * dt[t, d]
                    d_A[n, d] += d_decay * dt[t, d]
                    d_state[n, d] = d_h * decay[n, d]
                    d_dot[d] = d_h * dt[t, d] * x[t, d]
                sum_b, sum_c = np.float32(0), np.float32(0)
                for d in range(channels):
                    sum_b += d_dot[d]
                    sum_c += d_y[t, d] * after[n, d]
                d_B[t, n], d_C[t, n] = sum_b, sum_c
