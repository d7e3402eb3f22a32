"""CasFT (arXiv 2409.16619): ConCat whose flow goes on to the horizon, and the trend to come.

The time to the horizon is cut into equal parts of the clock. The flow goes on through them, and the
intensity along it, with the state, is the condition of the trend Y: log2(1 + events) in each part,
standardised. A diffusion model learns how trends are distributed under it. Asked at full noise it
says the mean trend, which the head reads beside the state: so the head's loss reaches the denoiser,
and the point needs no sampling. Trends that are drawn give the spread: each has a total, and the
quantiles are those of the totals about the point.


    trend       `regression` instead of `diffusion`: the mean trend alone, and quantiles from the
                head (a named ablation)

Here is how a trained one answers on a CPU: all but the sampling by compiled kernels, not PyTorch.
`models.forecasters.networks.casft` is the network as it is trained, and what samples.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.cascades.sequences import CONTEXT, HORIZON
from models.forecasters import concat
from models.forecasters.concat import CompiledFront, Observed
from models.forecasters.jump_ode.trend_states import TrendWeights, denoiser_shapes, trends_ahead
from models.learning.weights import Shapes, Weights, named, within

TRENDS = ("diffusion", "regression")


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
    steps: int = 10
    samples: int = 16
    weight: float = 0.5

    def __post_init__(self) -> None:
        if self.trend not in TRENDS:
            raise ValueError(f"got trend {self.trend!r}; expected one of {', '.join(TRENDS)}")


class Compiled:
    """A trained network as its kernels have it: its point, and with regression its quantiles.

    Args:
        config: its flow is affine.
        weights: of the whole network.
    """

    def __init__(self, config: Config, weights: Weights) -> None:
        self.config = config
        self.structured = "structure" in config.base.components
        self._front = CompiledFront(config.base, within(weights, "front"))
        intensity = within(weights, "front.intensity") or within(weights, "own_intensity")
        denoiser = within(weights, "denoiser")
        self._trend = TrendWeights(intensity, denoiser, self._front.table, self._front.jump)

    def predict(self, observed: Observed) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The head's mean, shape (n, horizons), and quantiles, means over members."""
        states = self._front.states(observed)
        return self._front.answer(states, observed, self.trends_ahead(states, observed))

    def trends_ahead(self, states: NDArray[np.float32], observed: Observed) -> NDArray[np.float32]:
        """What the head reads beside the states."""
        return trends_ahead(states, observed.until, observed.horizons, observed.table, self._trend)


def compiles(config: Config) -> bool:
    """Whether compiled kernels answer for a whole network of this configuration."""
    return config.base.flow == "affine" and config.trend == "regression"


def shapes(config: Config) -> Shapes:
    """Shapes of the network's weights, where its flow is affine."""
    base, parts = config.base, config.parts
    likelihood = "likelihood" in base.components
    columns = len(CONTEXT) + len(HORIZON)
    own = {} if likelihood else concat.intensity_shapes(base.members, base.width)
    condition = base.width + parts + columns * base.bins
    return {
        **named("front", concat.shapes(base, extra=2 * parts - likelihood)),
        **named("own_intensity", own),
        **named("denoiser", denoiser_shapes(base.members, parts, condition)),
        "trend_mean": (parts,),
        "trend_scale": (parts,),
    }
