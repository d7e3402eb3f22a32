"""CasFT as it is trained; `models.forecasters.casft` says what it is.

A diffusion model learns how trends are distributed under the condition; quantiles are those of the
totals of trends that are drawn from it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.forecasters import casft
from models.forecasters.casft import Config
from models.forecasters.concat import Observed
from models.forecasters.jump_ode.trend_states import STEPS
from models.forecasters.networks.concat import ConCatNetwork, Targets, point_loss, tensors
from models.forecasters.networks.diffusion import Denoiser
from models.forecasters.networks.intensity import Intensity
from models.interface import LEVELS
from models.learning.loop import Network
from models.learning.weights import weights_of

_SEED = 409_16619


class CasFTNetwork(Network):
    """The members' networks."""

    trend_mean: Tensor
    trend_scale: Tensor
    noise: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.members = config.base.members
        parts, base = config.parts, config.base
        # Beside the state, the head reads the expected events of each part and the trend.
        self.front = ConCatNetwork(base, extra=2 * parts - ("likelihood" in base.components))
        self.structured = self.front.structured
        own = self.front.intensity is None
        self.own_intensity = Intensity(base.members, base.width) if own else None
        condition = base.width + parts + self.front.table.outputs
        self.denoiser = Denoiser(base.members, parts, condition)
        self.register_buffer("trend_mean", torch.zeros(parts))
        self.register_buffer("trend_scale", torch.ones(parts))
        seeded = torch.Generator().manual_seed(_SEED)
        noise = torch.randn(config.samples, parts, generator=seeded)
        self.register_buffer("noise", noise, persistent=False)

    def fit_inputs(self, observed: Observed, targets: Targets) -> None:
        """Sets the scales of inputs and trends from training data."""
        self.front.fit_inputs(observed, targets)
        trends = targets.trend.flatten(0, 1)
        self.trend_mean.copy_(trends.mean(0))
        self.trend_scale.copy_(trends.std(0).clamp_min(0.1))

    @property
    def intensity(self) -> Intensity:
        """That of the likelihood, or, without one, what the head makes of it."""
        intensity = self.front.intensity or self.own_intensity
        assert intensity is not None
        return intensity

    def conditions(self, observed: Observed) -> tuple[Tensor, Tensor, Tensor]:
        """What the trend depends on, what the head reads beside it, and the log-likelihood.

        Returns:
            shapes (members, n, horizons, numbers), (members, n, horizons, width + parts), ().
        """
        observed = tensors(observed)
        state, _, likelihood = self.front.states(observed)
        members, n = state.shape[:2]
        horizons = observed.horizons.shape[1]
        parts = self.config.parts
        shares = torch.arange(1, parts + 1, device=state.device) / parts
        span = (observed.horizons - observed.until[:, None]).clamp_min(0)[..., None]
        until = observed.until[:, None, None] + span * shares  # (n, horizons, parts)
        each = state[:, :, None].expand(-1, -1, horizons * parts, -1).flatten(1, 2)
        since = observed.until[:, None].expand(-1, horizons * parts).flatten()
        ahead = self.front.ode.flow(each, since, until.flatten())
        rate = self.intensity(ahead).view(members, n, horizons, parts)
        expected = torch.log1p(rate * span / parts)
        state = state[:, :, None].expand(-1, -1, horizons, -1)
        table = self.front.table(observed.table.flatten(0, 1)).unflatten(0, (n, horizons))
        read = torch.cat([state, expected], -1)
        condition = torch.cat([read, table.expand(members, -1, -1, -1)], -1)
        return condition, read, likelihood

    def loss(self, observed: Observed, targets: Targets) -> Tensor:
        """The head's loss, the trend's and the likelihood's, over members."""
        observed = tensors(observed)
        condition, read, likelihood = self.conditions(observed)
        trend = self._mean_trend(condition)
        mean, quantiles = self.front.answer(torch.cat([read, trend], -1), observed.table)
        clean = ((targets.trend - self.trend_mean) / self.trend_scale).flatten(0, 1)
        clean = clean.expand(self.members, -1, -1)
        if self.config.trend == "diffusion":
            step = torch.rand(clean.shape[1], device=clean.device) * STEPS
            noisy = self.denoiser.noised(clean, step)
            said = self.denoiser(noisy, step, condition.flatten(1, 2))
        else:
            said = trend.flatten(1, 2)
        horizons = condition.shape[2]
        weights = targets.weights[:, None].expand(-1, horizons).flatten()[:, None]
        squared = (weights * (said - clean) ** 2).mean((1, 2)).sum()
        loss: Tensor = (
            point_loss(mean, quantiles, targets)
            + self.config.weight * squared
            - self.config.base.likelihood * likelihood
        )
        return loss

    def _mean_trend(self, condition: Tensor) -> Tensor:
        """What the denoiser says at full noise, shape (members, n, horizons, parts)."""
        flat = condition.flatten(1, 2)
        nothing = flat.new_zeros(*flat.shape[:2], self.config.parts)
        said = self.denoiser(nothing, flat.new_full((flat.shape[1],), STEPS), flat)
        trends: Tensor = said.unflatten(1, condition.shape[1:3])
        return trends

    @torch.no_grad()
    def trends(self, observed: Observed) -> NDArray[np.float64]:
        """Growth curves: log2(1 + events) in each part of the time to each horizon.

        Returns:
            drawn trends, shape (members x samples, n, horizons, parts); with regression, the mean
            trend of each member.
        """
        return self._drawn(self.conditions(observed)[0]).double().cpu().numpy()

    def _drawn(self, condition: Tensor) -> Tensor:
        if self.config.trend == "regression":
            drawn = self._mean_trend(condition)[:, None]
        else:
            drawn = self.denoiser.sample(condition.flatten(1, 2), self.noise, self.config.steps)
            drawn = drawn.unflatten(1, condition.shape[1:3]).permute(0, 3, 1, 2, 4)
        return (drawn * self.trend_scale + self.trend_mean).clamp_min(0).flatten(0, 1)

    @torch.no_grad()
    def point(self, observed: Observed) -> NDArray[np.float64]:
        """The mean increments, without sampling trends for quantiles."""
        return self._answer(observed)[0]

    def _answer(self, observed: Observed) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The head's mean, shape (n, horizons), and quantiles, means over members."""
        if isinstance(observed.table, np.ndarray) and self.config.base.flow == "affine":
            return casft.Compiled(self.config, weights_of(self)).predict(observed)
        condition, read, _ = self.conditions(observed)
        read = torch.cat([read, self._mean_trend(condition)], -1)
        mean, quantiles = self.front.answer(read, tensors(observed).table)
        return mean.mean(0).double().cpu().numpy(), quantiles.mean(0).double().cpu().numpy()

    @torch.no_grad()
    def predict(self, observed: Observed) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean, shape (n, horizons), and quantiles: of the totals of trends, about the mean."""
        mean, quantiles = self._answer(observed)
        if self.config.trend == "regression":
            return mean, quantiles
        trends = self._drawn(self.conditions(observed)[0]).double().cpu().numpy()
        totals = np.log2(1 + np.expm1(np.log(2) * trends).sum(axis=-1))
        quantiles = np.moveaxis(np.quantile(totals, LEVELS, axis=0), 0, -1)
        return mean, quantiles + (mean - totals.mean(axis=0))[..., None]
