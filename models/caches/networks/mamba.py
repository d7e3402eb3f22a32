"""The Mamba block (Gu and Dao, 2023): projection, causal convolution, selective scan, gate.

Parameters have the names and shapes of `mamba_ssm.Mamba`, so that a checkpoint serves both. Beside
whole sequences the block takes ragged ones, and single steps with an explicit state, whose cost
does not depend on what came before.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.caches.networks.selective_scan import selective_scan
from models.caches.networks.selective_scan_kernel import selective_scan_compiled

_DT_MIN, _DT_MAX, _DT_FLOOR = 1e-3, 0.1, 1e-4  # of `mamba_ssm`


class State(NamedTuple):
    """What a block keeps of each sequence between steps.

    Attributes:
        conv: the latest inputs of the convolution, shape (sequences, inner, d_conv - 1).
        ssm: the state of the scan, shape (sequences, inner, d_state).
    """

    conv: Tensor
    ssm: Tensor


class Mamba(nn.Module):
    """One block; inner width `expand` times `d_model`.

    Args:
        d_model: width of input and output.
        d_state: components of each channel's state.
        d_conv: steps that the convolution sees.
        expand: inner width over `d_model`.
    """

    def __init__(self, d_model: int, d_state: int = 16, d_conv: int = 4, expand: int = 2) -> None:
        super().__init__()
        inner, rank = expand * d_model, math.ceil(d_model / 16)
        self.d_state, self.d_conv, self.inner, self.rank = d_state, d_conv, inner, rank
        self.in_proj = nn.Linear(d_model, 2 * inner, bias=False)
        # Its weights alone are used: `_convolve` takes ragged sequences.
        self.conv1d = nn.Conv1d(inner, inner, d_conv, groups=inner, padding=d_conv - 1)
        self.x_proj = nn.Linear(inner, rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, d_model, bias=False)
        nn.init.uniform_(self.dt_proj.weight, -(rank**-0.5), rank**-0.5)
        with torch.no_grad():
            spread = torch.rand(inner) * math.log(_DT_MAX / _DT_MIN) + math.log(_DT_MIN)
            dt = spread.exp().clamp_min(_DT_FLOOR)
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # softplus gives dt back

    def forward(self, hidden: Tensor, elapsed: Tensor | None = None) -> Tensor:
        """Output of each step of sequences of one length, shape (batch, length, d_model).

        Args:
            hidden: input, shape (batch, length, d_model).
            elapsed: time since the step before, above 0, shape (batch, length); None: 1.
        """
        batch, length = hidden.shape[:2]
        offsets = np.arange(batch + 1) * length
        passed = None if elapsed is None else elapsed.flatten()
        return self.ragged(hidden.flatten(0, 1), offsets, passed).view(hidden.shape)

    def ragged(
        self, hidden: Tensor, offsets: NDArray[np.int64], elapsed: Tensor | None = None
    ) -> Tensor:
        """Output of each step of sequences that lie one after the other, shape (steps, d_model).

        Args:
            hidden: input, shape (steps, d_model).
            offsets: steps of sequence i are those from `offsets[i]` to `offsets[i + 1]`.
            elapsed: time since the step before, above 0, shape (steps,); None: 1.
        """
        x, gate = self.in_proj(hidden).chunk(2, -1)
        x = functional.silu(self._convolve(x, offsets))
        dt, B, C = self._select(x)
        if elapsed is None:
            elapsed = hidden.new_ones(len(hidden))
        y = _scan(x, dt, -self.A_log.exp(), B, C, elapsed, offsets) + self.D * x
        result: Tensor = self.out_proj(y * functional.silu(gate))
        return result

    def start(self, sequences: int) -> State:
        """The state of sequences before their first step."""
        like = self.in_proj.weight
        return State(
            like.new_zeros(sequences, self.inner, self.d_conv - 1),
            like.new_zeros(sequences, self.inner, self.d_state),
        )

    def step(
        self, hidden: Tensor, state: State, elapsed: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """One step of each sequence: its output, shape (sequences, d_model), and its new state.

        Args:
            hidden: input, shape (sequences, d_model).
            state: after the step before.
            elapsed: time since then, shape (sequences,); None: 1.
        """
        x, gate = self.in_proj(hidden).chunk(2, -1)
        seen = torch.cat([state.conv, x[..., None]], -1)
        x = functional.silu((seen * self.conv1d.weight[:, 0]).sum(-1) + self._conv_bias)
        dt, B, C = self._select(x)
        passed = dt if elapsed is None else dt * elapsed[:, None]
        decay = torch.exp(passed[..., None] * -self.A_log.exp())
        ssm = decay * state.ssm + (dt * x)[..., None] * B[:, None]
        y = (ssm * C[:, None]).sum(-1) + self.D * x
        return self.out_proj(y * functional.silu(gate)), State(seen[..., 1:], ssm)

    @property
    def _conv_bias(self) -> Tensor:
        bias = self.conv1d.bias
        assert bias is not None
        return bias

    def _convolve(self, x: Tensor, offsets: NDArray[np.int64]) -> Tensor:
        """The causal convolution, which sees nothing before a sequence's first step."""
        steps = len(x)
        place = np.arange(steps) - np.repeat(offsets[:-1], np.diff(offsets))
        since = torch.from_numpy(place).to(x.device)[:, None]
        reach = self.d_conv - 1
        padded = functional.pad(x, (0, 0, reach, 0))
        weight = self.conv1d.weight[:, 0]
        y = self._conv_bias + x * weight[:, reach]
        for lag in range(1, self.d_conv):
            earlier = padded[reach - lag : reach - lag + steps]
            y = y + torch.where(since >= lag, earlier, 0.0) * weight[:, reach - lag]
        return y

    def _select(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """dt, B and C of each step, by what its input is."""
        dt, B, C = self.x_proj(x).split([self.rank, self.d_state, self.d_state], -1)
        return functional.softplus(self.dt_proj(dt)), B, C


def _scan(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, elapsed: Tensor,
    offsets: NDArray[np.int64],
) -> Tensor:  # fmt: skip
    """The scan of ragged sequences: as they are on a CPU, padded to one length elsewhere."""
    if x.device.type == "cpu" and x.dtype == torch.float32:
        return selective_scan_compiled(x, dt, A, B, C, elapsed, offsets)
    lengths = np.diff(offsets)
    inside = torch.from_numpy(np.arange(max(lengths, default=0)) < lengths[:, None]).to(x.device)

    def padded(rows: Tensor) -> Tensor:
        return rows.new_ones(*inside.shape, *rows.shape[1:]).masked_scatter(
            inside.view(*inside.shape, *[1] * (rows.ndim - 1)), rows
        )

    y = selective_scan(padded(x), padded(dt), A, padded(B), padded(C), padded(elapsed))
    return y[inside]
