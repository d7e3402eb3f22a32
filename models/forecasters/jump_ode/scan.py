"""The jump ODE over ragged sequences: a flow between jumps, a gated recurrent unit at them.

At a jump h <- GRU(x, h) (Cho et al., 2014, with the reset inside the candidate):

    r, z = sigmoid(x_r + U_r h + u_r), sigmoid(x_z + U_z h + u_z)
    n    = tanh(x_n + r (U_n h + u_n))
    h   <- n + z (h - n)

Several members, networks of the same shape with weights of their own, go through together.

Along an affine flow the whole is one compiled kernel, with its gradient by hand: it takes the
sequences as they are, one after the other, without padding, and what it says of one does not
depend on the others, to the bit. `jump_loop` is the same by steps of plain PyTorch on padded
tensors, for any flow: the definition, and what runs on a GPU.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor, nn

from models.forecasters.jump_ode.flows import AffineFlow, Flow
from models.kernels.dense import add_product
from models.kernels.vector_math import VECTORISES, exp, sigmoid, tanh


class JumpODE(nn.Module):
    """The state of cascades from jump to jump.

    Attributes:
        flow: carries the state between jumps.
        start: state at s = 0, shape (members, width).
        recurrent: U, the columns of r, z and n beside each other, shape (members, width, 3 width).
        bias: u, shape (members, 3 width).

    Args:
        members: networks side by side.
        width: of the state.
        flow: an `AffineFlow` by default.
    """

    def __init__(self, members: int, width: int, flow: Flow | None = None) -> None:
        super().__init__()
        self.flow = AffineFlow(members, width) if flow is None else flow
        self.start = nn.Parameter(torch.zeros(members, width))
        self.recurrent = nn.Parameter(torch.empty(members, width, 3 * width))
        self.bias = nn.Parameter(torch.zeros(members, 3 * width))
        with torch.no_grad():
            for block in self.recurrent.chunk(3, -1):
                for matrix in block:
                    nn.init.orthogonal_(matrix)
            # Some components forget at every jump, some hold over a hundred of them.
            self.bias[:, width : 2 * width].uniform_(0, 5)

    def forward(
        self, inputs: Tensor, clock: Tensor, offsets: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        """The state before and after each jump.

        Args:
            inputs: what each jump brings to r, z and n, shape (members, jumps, 3 width).
            clock: s of each jump, at least 0 and ascending within a sequence, shape (jumps,).
            offsets: jumps of sequence i are those from `offsets[i]` to `offsets[i + 1]`.

        Returns:
            two tensors of shape (members, jumps, width).
        """
        flow, compiled = self.flow, inputs.device.type == "cpu" and inputs.dtype == torch.float32
        if compiled and isinstance(flow, AffineFlow):
            before, after = _Scan.apply(
                inputs, clock, offsets,
                self.start, flow.log_rate.exp(), flow.level, flow.slope, self.recurrent, self.bias,
            )  # fmt: skip
            return before, after
        return jump_loop(inputs, clock, offsets, self)


def jump_loop(
    inputs: Tensor, clock: Tensor, offsets: NDArray[np.int64], model: JumpODE
) -> tuple[Tensor, Tensor]:
    """`JumpODE.forward` by its definition, for any flow, device and precision."""
    lengths = torch.from_numpy(np.diff(offsets)).to(inputs.device)
    longest = int(lengths.max()) if len(lengths) else 0
    step = torch.arange(longest, device=inputs.device)
    inside = step < lengths[:, None]  # (sequences, steps)
    # Steps past a sequence's end repeat its last jump, and are cut off again.
    starts = torch.from_numpy(offsets[:-1].copy()).to(inputs.device)
    at = starts[:, None] + torch.minimum(step, (lengths[:, None] - 1).clamp_min(0))
    width = model.start.shape[-1]
    state = model.start[:, None].expand(-1, len(lengths), -1)
    now = torch.zeros(len(lengths), dtype=clock.dtype, device=clock.device)
    before, after = [], []
    for index in range(longest):
        jump = at[:, index].clamp_max(inputs.shape[1] - 1)
        state = model.flow(state, now, clock[jump])
        now = clock[jump]
        before.append(state)
        hidden = torch.baddbmm(model.bias[:, None], state, model.recurrent)
        x = inputs[:, jump]
        reset, update = torch.sigmoid(x + hidden)[..., : 2 * width].chunk(2, -1)
        candidate = torch.tanh(x[..., 2 * width :] + reset * hidden[..., 2 * width :])
        state = candidate + update * (state - candidate)
        after.append(state)
    if not before:
        empty = inputs.new_zeros(inputs.shape[0], 0, width)
        return empty, empty.clone()
    return torch.stack(before, 2)[:, inside], torch.stack(after, 2)[:, inside]


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, inputs: Tensor, clock: Tensor, offsets: NDArray[np.int64], *flow: Tensor
    ) -> tuple[Tensor, Tensor]:
        members, jumps, width3 = inputs.shape
        before, after, hidden = torch.empty(3, members, jumps, width3 // 3).unbind()
        gates = torch.empty(members, jumps, width3)
        arrays = [tensor.detach().contiguous().numpy() for tensor in (inputs, clock, *flow)]
        outputs = [tensor.numpy() for tensor in (before, after, gates, hidden)]
        in_threads(_forward, offsets, [*arrays, *outputs])
        context.offsets = offsets
        context.save_for_backward(clock, *flow, before, after, gates, hidden)
        return before, after

    @staticmethod
    def backward(context: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        clock, *flow, before, after, gates, hidden = context.saved_tensors
        members, jumps, width = before.shape
        d_inputs, d_gates = torch.empty(2, members, jumps, 3 * width).unbind()
        chunks = len(_chunks(context.offsets))
        # start, rate, level, slope
        d_flow = torch.zeros(chunks, 4, members, width)
        transposed = flow[4].detach().transpose(1, 2).contiguous()
        tensors = [*outputs, clock, *flow[:4], transposed, before, after, gates, hidden]
        arrays = [tensor.detach().contiguous().numpy() for tensor in tensors]
        arrays += [d_inputs.numpy(), d_gates.numpy()]
        in_threads(_backward, context.offsets, arrays, d_flow.numpy())
        d_recurrent = torch.bmm(before.transpose(1, 2), d_gates)
        d_bias = d_gates.sum(1)
        return (d_inputs, None, None, *d_flow.sum(0), d_recurrent, d_bias)


def _chunks(offsets: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ranges of sequences with about as many jumps each, one for each of PyTorch's threads."""
    threads = min(torch.get_num_threads(), len(offsets) - 1)
    if threads <= 1:
        return [(0, len(offsets) - 1)]
    shares = np.linspace(0, offsets[-1], threads + 1)[1:-1]
    bounds = [0, *np.searchsorted(offsets, shares).tolist(), len(offsets) - 1]
    return list(itertools.pairwise(bounds))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="scan")


def in_threads(
    kernel: Any, offsets: NDArray[np.int64], arrays: list[Any], sums: NDArray[Any] | None = None
) -> None:
    """Runs the kernel over all sequences, in as many threads as PyTorch is given."""
    chunks = _chunks(offsets)
    tasks = [
        (first, last, offsets, *arrays, *(() if sums is None else (sums[index],)))
        for index, (first, last) in enumerate(chunks)
    ]
    if len(tasks) == 1:
        kernel(*tasks[0])
        return
    for done in [_pool(len(tasks)).submit(kernel, *task) for task in tasks]:
        done.result()


# --------------------------------------------------------------------------- kernels


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
def _forward(
    first, last, offsets,
    inputs, clock, start, rate, level, slope, recurrent, bias,
    before, after, gates, hidden,
):  # fmt: skip
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
                product[:] = u
                add_product(pre, matrix, product)
                hidden[member, jump] = product[2 * width :]
                step(x, product, pre, gate, post)
                state = post


@njit(**VECTORISES)
def _backward(
    first, last, offsets,
    d_before, d_after, clock, start, rate, level, slope, transposed,
    before, after, gates, hidden,
    d_inputs, d_gates, d_flow,
):  # fmt: skip
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
