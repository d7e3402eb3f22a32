"""The events of a cascade as a point process whose intensity the state gives.

The intensity by the clock is lambda(s) = softplus(W2 softplus(W1 h(s) + b1) + b2), that of an event
taken just before its jump; its integral over a gap is taken by Gauss and Legendre's rule of two
points. A jump that sums up n events of its gap has the likelihood of a Poisson count, so that
what is left out of the exact events is left out of neither the events nor the time.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.forecasters.jump_ode.trend_states import LEAST
from models.forecasters.networks.flows import Flow
from models.forecasters.networks.jump_ode import JumpODE
from models.learning.layers import MemberLinear

_NODES = (0.5 - 3**-0.5 / 2, 0.5 + 3**-0.5 / 2)


class Intensity(nn.Module):
    """Intensity of each member's process."""

    def __init__(self, members: int, width: int) -> None:
        super().__init__()
        self.inner = MemberLinear(members, width, width)
        self.outer = MemberLinear(members, width, 1)

    def forward(self, state: Tensor) -> Tensor:
        """Events a unit of the clock, shape (members, n), of states (members, n, width)."""
        hidden = functional.softplus(self.inner(state))
        return functional.softplus(self.outer(hidden))[..., 0].clamp_min(LEAST)

    def between(self, state: Tensor, since: Tensor, until: Tensor, flow: Flow) -> Tensor:
        """Expected events of gaps without jumps, shape (members, n)."""
        elapsed = (until - since).clamp_min(0)
        events: Tensor = sum(self(flow(state, since, since + node * elapsed)) for node in _NODES)
        return events / len(_NODES) * elapsed

    def of_jumps(
        self,
        before: Tensor,
        after: Tensor,
        clock: Tensor,
        multiplicity: Tensor,
        summarised: Tensor,
        offsets: NDArray[np.int64],
        ode: JumpODE,
    ) -> tuple[Tensor, Tensor]:
        """Expected events up to each jump of its cascade, and the mean log-likelihood per event.

        Args:
            before, after: states at the jumps, shape (members, jumps, width).
            clock: of the jumps, shape (jumps,).
            multiplicity: events of each jump, shape (jumps,).
            summarised: whether the jump sums up the events of its gap, bool, shape (jumps,).
            offsets: jumps of sequence i are those from `offsets[i]` to `offsets[i + 1]`.
            ode: the model of the states.

        Returns:
            shape (members, jumps), and (), summed over members. The first event of a cascade,
            its root, is given and not counted.
        """
        firsts = torch.from_numpy(offsets[:-1][np.diff(offsets) > 0].copy()).to(clock.device)
        is_first = torch.zeros(len(clock), dtype=torch.bool, device=clock.device)
        is_first[firsts] = True
        previous = torch.roll(after, 1, 1)
        previous = torch.where(is_first[:, None], ode.start[:, None], previous)
        since = torch.where(is_first, torch.zeros_like(clock), torch.roll(clock, 1))
        expected = torch.where(is_first, 0.0, self.between(previous, since, clock, ode.flow))
        # n events in a gap of known integral, or one whose moment is known.
        rate = torch.where(summarised, expected.clamp_min(LEAST), self(before))
        log = torch.where(is_first, 0.0, multiplicity * torch.log(rate) - expected)
        events = torch.where(is_first, 0.0, multiplicity).sum().clamp_min(1)
        # Summed within each sequence: what others expect would drown a short one's by rounding.
        lengths = torch.from_numpy(np.diff(offsets)).to(clock.device)
        steps = int(lengths.max()) if len(lengths) else 0
        inside = torch.arange(steps, device=clock.device) < lengths[:, None]
        padded = expected.new_zeros(len(expected), *inside.shape)
        padded[:, inside] = expected
        return padded.cumsum(-1)[:, inside], log.sum() / events
