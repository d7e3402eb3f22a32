"""The jump ODE over ragged sequences: a flow between jumps, a gated recurrent unit at them.

At a jump h <- GRU(x, h) (Cho et al., 2014, with the reset inside the candidate):

    r, z = sigmoid(x_r + U_r h + u_r), sigmoid(x_z + U_z h + u_z)
    n    = tanh(x_n + r (U_n h + u_n))
    h   <- n + z (h - n)

Several members, networks of the same shape with weights of their own, go through together.

Along an affine flow the whole is one compiled kernel (`models.forecasters.jump_ode.scan`).
`jump_loop` is the same by steps of plain PyTorch on padded tensors, for any flow: the definition,
and what runs on a GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.forecasters.jump_ode import scan
from models.forecasters.networks.flows import AffineFlow, Flow
from models.kernels import threads


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
            before, after = _Scan.apply(  # type: ignore[no-untyped-call]
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
        threads.in_threads(scan.forward, offsets, [*arrays, *outputs])
        context.offsets = offsets
        context.save_for_backward(clock, *flow, before, after, gates, hidden)
        return before, after

    @staticmethod
    def backward(context: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        clock, *flow, before, after, gates, hidden = context.saved_tensors
        members, jumps, width = before.shape
        d_inputs, d_gates = torch.empty(2, members, jumps, 3 * width).unbind()
        chunks = len(threads.chunks(context.offsets))
        # start, rate, level, slope
        d_flow = torch.zeros(chunks, 4, members, width)
        transposed = flow[4].detach().transpose(1, 2).contiguous()
        tensors = [*outputs, clock, *flow[:4], transposed, before, after, gates, hidden]
        arrays = [tensor.detach().contiguous().numpy() for tensor in tensors]
        arrays += [d_inputs.numpy(), d_gates.numpy()]
        threads.in_threads(scan.backward, context.offsets, arrays, d_flow.numpy())
        d_recurrent = torch.bmm(before.transpose(1, 2), d_gates)
        d_bias = d_gates.sum(1)
        return (d_inputs, None, None, *d_flow.sum(0), d_recurrent, d_bias)
