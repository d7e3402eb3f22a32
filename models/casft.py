"""CasFT (arXiv 2409.16619): ConCat whose flow goes on to the horizon, and the trend to come.

The time to the horizon is cut into equal parts of the clock. The flow goes on through them, and the
intensity along it, with the state, is the condition of the trend Y: log2(1 + events) in each part,
standardised. A diffusion model draws trends from it, and the head reads the state and a trend.
Forecasts are those of many trends: their mean, and the quantiles of the mixture that they make. In
training the head reads what the denoiser makes of a trend with noise, so that its loss reaches the
denoiser too.

    trend       instead of the diffusion: the mean trend by regression (a named ablation)
"""

from __future__ import annotations

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import concat
from models.concat import ConCatNetwork, Observed, Targets, point_loss
from models.diffusion import STEPS, Denoiser
from models.intensity import Intensity
from models.interface import LEVELS
from models.neural import Network

TRENDS = ("diffusion", "regression")
# Share of the distribution that each quantile of one trend's forecast stands for in the mixture.
_SHARES = np.diff(np.concatenate([[0.0], (LEVELS[1:] + LEVELS[:-1]) / 2, [1.0]]))
_SEED = 409_16619


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a network.

    Attributes:
        base: of the jump ODE and the head; its likelihood trains the intensity.
        trend: of `TRENDS`.
        parts: of the time to the horizon.
        steps: of the sampler.
        samples: trends a forecast.
        weight: of the trend's loss (gamma in the paper).
    """

    base: concat.Config = concat.Config(components=("likelihood",), members=2)
    trend: str = "diffusion"
    parts: int = 8
    steps: int = 12
    samples: int = 24
    weight: float = 0.5

    def __post_init__(self) -> None:
        if self.trend not in TRENDS:
            raise ValueError(f"got trend {self.trend!r}; expected one of {', '.join(TRENDS)}")


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
        self.intensity = self.front.intensity or Intensity(base.members, base.width)
        condition = base.width + parts + self.front.table.outputs
        self.denoiser = Denoiser(base.members, parts, condition)
        self.register_buffer("trend_mean", torch.zeros(parts))
        self.register_buffer("trend_scale", torch.ones(parts))
        noise = torch.randn(
            config.steps + 1, config.samples, parts, generator=torch.Generator().manual_seed(_SEED)
        )
        self.register_buffer("noise", noise, persistent=False)

    def fit_inputs(self, observed: Observed, targets: Targets) -> None:
        """Sets the scales of inputs and trends from training data."""
        self.front.fit_inputs(observed, targets)
        trends = targets.trend.flatten(0, 1)
        self.trend_mean.copy_(trends.mean(0))
        self.trend_scale.copy_(trends.std(0).clamp_min(0.1))

    def conditions(self, observed: Observed) -> tuple[Tensor, Tensor, Tensor]:
        """What the trend depends on, what the head reads beside it, and the log-likelihood.

        Returns:
            shapes (members, n, horizons, numbers), (members, n, horizons, width + parts), ().
        """
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
        table = self.front.table(observed.table.flatten(0, 1)).view(n, horizons, -1)
        read = torch.cat([state, expected], -1)
        condition = torch.cat([read, table.expand(members, -1, -1, -1)], -1)
        return condition, read, likelihood

    def loss(self, observed: Observed, targets: Targets) -> Tensor:
        """The head's loss, the trend's and the likelihood's, over members."""
        condition, read, likelihood = self.conditions(observed)
        members, n, horizons, _ = condition.shape
        clean = ((targets.trend - self.trend_mean) / self.trend_scale).flatten(0, 1)
        clean = clean.expand(members, -1, -1)
        if self.config.trend == "diffusion":
            step = torch.rand(n * horizons, device=clean.device) * STEPS
            noisy = self.denoiser.noised(clean, step)
        else:
            step, noisy = clean.new_full((n * horizons,), STEPS), torch.zeros_like(clean)
        trend = self.denoiser(noisy, step, condition.flatten(1, 2))
        weights = targets.weights[:, None].expand(-1, horizons).flatten()[:, None]
        squared = (weights * (trend - clean) ** 2).mean((1, 2)).sum()
        beside = torch.cat([read, trend.view(members, n, horizons, -1)], -1)
        mean, quantiles = self.front.answer(beside, observed.table)
        base = self.config.base
        return (
            point_loss(mean, quantiles, targets)
            + self.config.weight * squared
            - base.likelihood * likelihood
        )

    @torch.no_grad()
    def trends(self, observed: Observed, samples: int | None = None) -> Tensor:
        """Trends, standardised, shape (members, samples, n, horizons, parts)."""
        condition, _, _ = self.conditions(observed)
        return self._trends(condition, self.config.samples if samples is None else samples)

    def _trends(self, condition: Tensor, samples: int) -> Tensor:
        members, n, horizons = condition.shape[:3]
        flat = condition.flatten(1, 2)
        if self.config.trend == "regression":
            step = flat.new_full((n * horizons,), STEPS)
            start = flat.new_zeros(members, n * horizons, self.config.parts)
            return self.denoiser(start, step, flat).view(members, 1, n, horizons, -1)
        repeated = flat[:, None].expand(-1, samples, -1, -1).flatten(1, 2)
        noise = self.noise[:, :samples, None].expand(-1, -1, n * horizons, -1).flatten(1, 2)
        return self.denoiser.sample(repeated, noise).view(members, samples, n, horizons, -1)

    @torch.no_grad()
    def predict(
        self, observed: Observed, samples: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean, shape (n, horizons), and quantiles of the mixture over members and trends."""
        condition, read, _ = self.conditions(observed)
        trends = self._trends(condition, self.config.samples if samples is None else samples)
        means, quantiles = [], []
        for trend in trends.unbind(1):
            answer = self.front.answer(torch.cat([read, trend], -1), observed.table)
            means.append(answer[0])
            quantiles.append(answer[1])
        mean = torch.stack(means).flatten(0, 1).mean(0).double().cpu().numpy()
        if self.config.trend == "regression":
            return mean, quantiles[0].mean(0).double().cpu().numpy()
        pooled = torch.stack(quantiles, 1).mean(0).double().cpu().numpy()
        return mean, mixture_quantiles(np.moveaxis(pooled, 0, -2))


def mixture_quantiles(quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles at `LEVELS` of an equal mixture of distributions known by theirs.

    Args:
        quantiles: at `LEVELS`, shape (..., components, levels).

    Returns:
        shape (..., levels).
    """
    components = quantiles.shape[-2]
    values = quantiles.reshape(*quantiles.shape[:-2], -1)
    order = np.argsort(values, axis=-1)
    ordered = np.take_along_axis(values, order, -1)
    shares = np.tile(_SHARES / components, components)[order]
    middle = np.cumsum(shares, -1) - shares / 2
    flat = [
        np.interp(LEVELS, at, row)
        for at, row in zip(
            middle.reshape(-1, values.shape[-1]), ordered.reshape(-1, values.shape[-1]), strict=True
        )
    ]
    return np.array(flat).reshape(*quantiles.shape[:-2], len(LEVELS))
