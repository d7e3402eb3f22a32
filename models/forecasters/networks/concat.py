"""ConCat as it is trained; `models.forecasters.concat` says what it is.

The state flows between jumps and steps at them by `models.forecasters.networks.jump_ode`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.cascades.graphwave import WIDTH as STRUCTURE_WIDTH
from models.cascades.sequences import CONTEXT, FEATURES, HORIZON
from models.forecasters.concat import (
    USER_BUCKETS,
    USER_WIDTH,
    CompiledFront,
    Config,
    Observed,
)
from models.forecasters.networks.encoder import Encoder
from models.forecasters.networks.flows import AffineFlow, Flow, NeuralFlow
from models.forecasters.networks.intensity import Intensity
from models.forecasters.networks.jump_ode import JumpODE
from models.learning.layers import Head, MemberLinear, PiecewiseLinear, pinball
from models.learning.loop import Network
from models.learning.weights import weights_of

SUMMARISED = FEATURES.index("summarised")
LEAST_DEVIATION = 0.1
_FLOWS: dict[str, Callable[[int, int], Flow]] = {"affine": AffineFlow, "neural": NeuralFlow}


class Targets(NamedTuple):
    """What came.

    Attributes:
        increments: log2(1 + increment), float32, shape (n, horizons).
        trend: log2(1 + events) in each part of the time to the horizon, float32, shape (n,
            horizons, parts).
        weights: float32, shape (n,); mean about 1.
    """

    increments: Tensor
    trend: Tensor
    weights: Tensor


class ConCatNetwork(Network):
    """The members' networks.

    Args:
        config: of them.
        extra: numbers that a network built on this one gives the head beside the state.

    Attributes:
        structured: whether it reads the structure at the age.
    """

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, config: Config, extra: int = 0) -> None:
        super().__init__()
        self.config = config
        self.members = config.members
        self.structured = "structure" in config.components
        members, width, has = config.members, config.width, config.components
        self.register_buffer("feature_mean", torch.zeros(len(FEATURES)))
        self.register_buffer("feature_scale", torch.ones(len(FEATURES)))
        structure = STRUCTURE_WIDTH if self.structured else 0
        users = USER_WIDTH if "users" in has else 0
        self.users = nn.Embedding(USER_BUCKETS, USER_WIDTH) if users else None
        if self.users is not None:
            nn.init.normal_(self.users.weight, std=0.1)
        inputs = len(FEATURES) + structure
        self.encoder = Encoder(members, inputs, users) if "encoder" in has else None
        jump = inputs + users + (self.encoder.outputs if self.encoder is not None else 0)
        self.read = MemberLinear(members, jump, 3 * width)
        flow = _FLOWS[config.flow](members, width)
        self.ode = JumpODE(members, width, flow)
        self.intensity = Intensity(members, width) if "likelihood" in has else None
        self.table = PiecewiseLinear(len(CONTEXT) + len(HORIZON), config.bins)
        beside = width + (self.intensity is not None) + extra
        self.head = Head(members, beside + self.table.outputs, config.head, config.dropout)

    def fit_inputs(self, observed: Observed, targets: Targets) -> None:
        """Sets the scales of the inputs and the beginning of the output from training data."""
        observed = tensors(observed)
        self.feature_mean.copy_(observed.features.mean(0))
        # What is rare, or not seen here at all, must not drown the rest where it does occur.
        self.feature_scale.copy_(1 / observed.features.std(0).clamp_min(LEAST_DEVIATION))
        self.table.fit(observed.table.flatten(0, 1).numpy())
        self.head.start_at(float(targets.increments.mean()))

    def inputs(self, observed: Observed) -> Tensor:
        """What all members read of each jump, shape (jumps, inputs)."""
        observed = tensors(observed)
        parts = [(observed.features - self.feature_mean) * self.feature_scale]
        if observed.structure is not None:
            parts.append(observed.structure)
        if self.users is not None:
            parts.append(self.users(observed.users))
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]

    def jumps(self, observed: Observed) -> Tensor:
        """What each jump brings to the unit's gates, shape (members, jumps, 3 width)."""
        observed = tensors(observed)
        inputs = self.inputs(observed)
        shared = inputs.expand(self.config.members, -1, -1)
        if self.encoder is None:
            return self.read(shared)
        encoded = self.encoder(*self._parted(inputs), observed.clock, observed.offsets)
        return self.read(torch.cat([shared, encoded], -1))

    def _parted(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the encoder's Transformers read: all but the users' embeddings, and those."""
        if self.users is None:
            return inputs, None
        return inputs[:, :-USER_WIDTH], inputs[:, -USER_WIDTH:]

    def states(self, observed: Observed) -> tuple[Tensor, Tensor, Tensor]:
        """State at each observation, expected events so far, and log-likelihood per event.

        Returns:
            shapes (members, n, width), (members, n) (0 without a likelihood) and ().
        """
        observed = tensors(observed)
        before, after = self.ode(self.jumps(observed), observed.clock, observed.offsets)
        some = observed.jump.clamp_min(0)
        found = (observed.jump >= 0)[:, None]
        if len(observed.clock):
            state = torch.where(found, after[:, some], self.ode.start[:, None])
            since = torch.where(found[:, 0], observed.clock[some], 0.0)
        else:
            state = self.ode.start[:, None].expand(-1, len(some), -1)
            since = torch.zeros_like(observed.until)
        state_now = self.ode.flow(state, since, observed.until)
        if self.intensity is None:
            return state_now, state.new_zeros(state.shape[:2]), state.new_zeros(())
        expected, likelihood = self.intensity.of_jumps(
            before,
            after,
            observed.clock,
            observed.multiplicity,
            observed.features[:, SUMMARISED] > 0,
            observed.offsets,
            self.ode,
        )
        tail = self.intensity.between(state, since, observed.until, self.ode.flow)
        sofar = torch.where(found[:, 0], expected[:, some], 0.0) if len(observed.clock) else 0.0
        return state_now, sofar + tail, likelihood

    def forward(self, observed: Observed) -> tuple[Tensor, Tensor, Tensor]:
        """Means (members, n, horizons), quantiles (..., levels), log-likelihood per event ()."""
        observed = tensors(observed)
        state, expected, likelihood = self.states(observed)
        beside = [] if self.intensity is None else [torch.log1p(expected)[..., None]]
        mean, quantiles = self.answer(torch.cat([state, *beside], -1), observed.table)
        return mean, quantiles, likelihood

    def answer(self, state: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        """The head's answers.

        Args:
            state: shape (members, n, numbers) or (members, n, horizons, numbers).
            table: shape (n, horizons, columns).
        """
        members = len(state)
        n, horizons, _ = table.shape
        if state.dim() == 3:
            state = state[:, :, None].expand(-1, -1, horizons, -1)
        encoded = self.table(table.flatten(0, 1)).unflatten(0, (n, horizons))
        said: tuple[Tensor, Tensor] = self.head(
            torch.cat([state, encoded.expand(members, -1, -1, -1)], -1)
        )
        return said

    def loss(self, observed: Observed, targets: Targets) -> Tensor:
        """Squared error of the mean, quantile loss and negative log-likelihood, over members."""
        mean, quantiles, likelihood = self(observed)
        loss: Tensor = point_loss(mean, quantiles, targets) - self.config.likelihood * likelihood
        return loss

    @torch.no_grad()
    def predict(self, observed: Observed) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean over members of the means, shape (n, horizons), and of the quantiles."""
        if isinstance(observed.table, np.ndarray) and self.config.flow == "affine":
            front = CompiledFront(self.config, weights_of(self))
            if self.intensity is None:
                return front.answer(front.states(observed), observed)
            carried, expected, _ = self.states(tensors(observed))
            state = torch.cat([carried, torch.log1p(expected)[..., None]], -1)
            return front.answer(state.numpy(), observed)
        mean, quantiles, _ = self(observed)
        return mean.mean(0).double().cpu().numpy(), quantiles.mean(0).double().cpu().numpy()


def tensors(observed: Observed) -> Observed:
    """The observations with tensors in the place of arrays, but for the offsets."""
    found: dict[str, Any] = {
        name: torch.from_numpy(value)
        for name, value in observed._asdict().items()
        if name != "offsets" and isinstance(value, np.ndarray)
    }
    return observed._replace(**found)


def point_loss(mean: Tensor, quantiles: Tensor, targets: Targets) -> Tensor:
    """Squared error of the mean plus quantile loss, weighted mean a member, summed over them."""
    weights = targets.weights[:, None]
    squared = weights * (mean - targets.increments) ** 2
    quantile = weights[..., None] * pinball(quantiles, targets.increments)
    return squared.mean((1, 2)).sum() + quantile.mean((1, 2)).sum(-1).sum()
