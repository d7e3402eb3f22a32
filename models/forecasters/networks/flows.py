"""What carries the state of a cascade from one moment to another, between its jumps.

    AffineFlow      dh/ds = -k (h - a - b s) + b, in closed form
    NeuralFlow      dh/ds = f(h, s), one step of the classical Runge-Kutta method a gap
    Adaptive        any flow by torchdiffeq's adaptive dopri5: the reference of both

The clock s is that of `models.cascades.clock`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from models.learning.layers import MemberLinear


class Flow(nn.Module, ABC):
    """A differential equation for states of shape (members, n, width)."""

    @abstractmethod
    def derivative(self, clock: Tensor, state: Tensor) -> Tensor:
        """dh/ds.

        Args:
            clock: s, shape (n,).
            state: shape (members, n, width).
        """

    @abstractmethod
    def forward(self, state: Tensor, since: Tensor, until: Tensor) -> Tensor:
        """The state carried on, without a jump.

        Args:
            state: shape (members, n, width).
            since: s of the state, shape (n,).
            until: s that is asked for; one before `since` counts as it, shape (n,).
        """


class AffineFlow(Flow):
    """The affine flow W h + c + w s of ConCat with W diagonalised, in closed form.

    Its basis is absorbed by the weights of the jumps. It is written by what it tends to, the line
    a + b s, and the rates k at which it does:

        h(s1) = a + b s1 + (h(s0) - a - b s0) exp(-k (s1 - s0)).

    Attributes:
        log_rate: logarithm of k, shape (members, width).
        level: a, of the same shape.
        slope: b, of the same shape.
    """

    def __init__(self, members: int, width: int) -> None:
        super().__init__()
        # From memories of a hundredth of the clock's span to some that outlast it.
        rates = torch.empty(members, width).uniform_(math.log(0.02), 0.0)
        self.log_rate = nn.Parameter(rates)
        self.level = nn.Parameter(torch.zeros(members, width))
        self.slope = nn.Parameter(torch.zeros(members, width))

    def derivative(self, clock: Tensor, state: Tensor) -> Tensor:
        """How fast the state changes, shaped as it is."""
        slope = self.slope[:, None]
        line = self.level[:, None] + slope * clock[:, None]
        return slope - self.log_rate.exp()[:, None] * (state - line)

    def forward(self, state: Tensor, since: Tensor, until: Tensor) -> Tensor:
        """The state at `until`, from that at `since`."""
        elapsed = (until - since).clamp_min(0)[:, None]
        slope = self.slope[:, None]
        line = self.level[:, None] + slope * since[:, None]
        fade = torch.exp(-self.log_rate.exp()[:, None] * elapsed)
        return line + slope * elapsed + (state - line) * fade


class NeuralFlow(Flow):
    """A flow of one hidden layer, by one Runge-Kutta step of the fourth order a gap."""

    def __init__(self, members: int, width: int, hidden: int | None = None) -> None:
        super().__init__()
        self.inner = MemberLinear(members, width + 1, hidden or width)
        self.outer = MemberLinear(members, hidden or width, width, gain=0.1)

    def derivative(self, clock: Tensor, state: Tensor) -> Tensor:
        """How fast the state changes, shaped as it is."""
        time = clock[None, :, None].expand(len(state), -1, 1)
        return self.outer(torch.tanh(self.inner(torch.cat([state, time], -1)))) - 0.1 * state

    def forward(self, state: Tensor, since: Tensor, until: Tensor) -> Tensor:
        """The state at `until`, from that at `since`."""
        step = (until - since).clamp_min(0)
        half, by = step / 2, step[:, None]
        first = self.derivative(since, state)
        second = self.derivative(since + half, state + by / 2 * first)
        third = self.derivative(since + half, state + by / 2 * second)
        fourth = self.derivative(since + step, state + by * third)
        return state + by / 6 * (first + 2 * second + 2 * third + fourth)


class Adaptive(Flow):
    """A flow solved adaptively, one solve a gap, as the released ConCat does: slow, and exact."""

    def __init__(self, flow: Flow, tolerance: float = 1e-4, adjoint: bool = False) -> None:
        super().__init__()
        self.flow = flow
        self.tolerance = tolerance
        # Imported where it is needed: it takes a second, and no worker that serves solves so.
        import torchdiffeq

        self.solve = torchdiffeq.odeint_adjoint if adjoint else torchdiffeq.odeint

    def derivative(self, clock: Tensor, state: Tensor) -> Tensor:
        """How fast the state changes, shaped as it is."""
        return self.flow.derivative(clock, state)

    def forward(self, state: Tensor, since: Tensor, until: Tensor) -> Tensor:
        """The state at `until`, from that at `since`."""
        elapsed = (until - since).clamp_min(0)

        # Every row has a gap of its own: all are solved at once over [0, 1].
        class Unit(nn.Module):
            def __init__(self, flow: Flow) -> None:
                super().__init__()
                self.flow = flow

            def forward(self, share: Tensor, state: Tensor) -> Tensor:
                return elapsed[:, None] * self.flow.derivative(since + share * elapsed, state)

        states: Tensor = self.solve(
            Unit(self.flow),
            state,
            torch.tensor([0.0, 1.0], dtype=state.dtype, device=state.device),
            rtol=self.tolerance,
            atol=self.tolerance,
            method="dopri5",
        )[-1]
        return states
