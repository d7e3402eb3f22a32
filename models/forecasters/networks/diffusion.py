"""A conditional diffusion model of short vectors: Gaussian noise out, samples in.

Noise comes by the cosine schedule (Nichol and Dhariwal, 2021, with s = 0.008); the network is told
the noisy vector, the step and the condition, and says what the clean vector was. Samples are drawn
by DDIM (Song et al., 2021) in few steps, even in the logarithm of signal to noise and with eta = 0:
noise added along the way, or steps even in time, leave less of the spread in as many steps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.forecasters.jump_ode.trend_states import LEAST_SHARE, STEPS, TIME_WIDTH
from models.learning.layers import MemberLinear

_OFFSET = 0.008
# Logarithm of the signal's share to the noise's: where the second step would begin, and the last.
_NOISIEST = -4.0
_CLEAREST = 6.0


def signal_share(step: Tensor) -> Tensor:
    """Product of the alphas, the share of the clean vector's variance, at steps in [0, STEPS]."""
    angle = (step / STEPS + _OFFSET) / (1 + _OFFSET) * math.pi / 2
    start = math.cos(_OFFSET / (1 + _OFFSET) * math.pi / 2) ** 2
    return (torch.cos(angle) ** 2 / start).clamp(LEAST_SHARE, 1)


def sampling_steps(taken: int) -> Tensor:
    """Steps from `STEPS` to 0 that a sampler takes, shape (taken + 1,)."""
    shares = torch.sigmoid(torch.linspace(_NOISIEST, _CLEAREST, taken, dtype=torch.float64)[1:])
    start = math.cos(_OFFSET / (1 + _OFFSET) * math.pi / 2)
    angles = torch.acos(shares.sqrt() * start) * 2 / math.pi
    between = (angles * (1 + _OFFSET) - _OFFSET) * STEPS
    return torch.cat([torch.tensor([float(STEPS)]), between.float(), torch.zeros(1)])


class Denoiser(nn.Module):
    """Three hidden layers on the noisy vector, the step and the condition, for each member.

    Args:
        members: networks side by side.
        size: of the vector.
        condition: numbers of the condition.
        width: of the hidden layers.
    """

    def __init__(self, members: int, size: int, condition: int, width: int = 96) -> None:
        super().__init__()
        self.size = size
        # The first layer in two parts: that of the condition is the same at every step.
        self.condition = MemberLinear(members, condition, width)
        self.first = MemberLinear(members, size + TIME_WIDTH, width)
        self.second = MemberLinear(members, width, width)
        self.third = MemberLinear(members, width, width)
        self.last = MemberLinear(members, width, size, gain=0.1)

    def forward(self, noisy: Tensor, step: Tensor, condition: Tensor) -> Tensor:
        """What the clean vectors were.

        Args:
            noisy: shape (members, n, size).
            step: shape (n,), in [0, STEPS].
            condition: shape (members, n, numbers).
        """
        return self._clean(noisy, step, self.condition(condition))

    def _clean(self, noisy: Tensor, step: Tensor, conditioned: Tensor) -> Tensor:
        hidden = functional.silu(self.first(self.timed(noisy, step)) + conditioned)
        for layer in (self.second, self.third):
            hidden = functional.silu(layer(hidden))
        # The layers say what the noisy vector does not: little where there is little noise.
        share = signal_share(step)[:, None]
        return share.sqrt() * noisy + (1 - share).sqrt() * self.last(hidden)

    def timed(self, noisy: Tensor, step: Tensor) -> Tensor:
        """Noisy vectors, shape (..., n, size), with numbers that tell their steps, shape (n,)."""
        octaves = torch.arange(TIME_WIDTH // 2, device=step.device) / (TIME_WIDTH // 2)
        angles = step[:, None] * torch.exp(-octaves * math.log(1e4))
        time = torch.cat([torch.sin(angles), torch.cos(angles)], -1)
        return torch.cat([noisy, time.expand(*noisy.shape[:-1], -1)], -1)

    def noised(self, clean: Tensor, step: Tensor) -> Tensor:
        """Vectors of shape (members, n, size) with the noise of their steps, shape (n,)."""
        share = signal_share(step)[:, None]
        return share.sqrt() * clean + (1 - share).sqrt() * torch.randn_like(clean)

    def sample(self, condition: Tensor, noise: Tensor, steps: int) -> Tensor:
        """Samples, made of given noise so that the same condition has the same samples.

        Args:
            condition: shape (members, n, numbers).
            noise: standard normal, shape (samples, size).
            steps: that are taken.

        Returns:
            shape (members, n, samples, size).
        """
        samples, size = noise.shape
        members, n, _ = condition.shape
        taken = sampling_steps(steps).to(condition.device)
        conditioned = self.condition(condition)[:, :, None].expand(-1, -1, samples, -1)
        conditioned = conditioned.flatten(1, 2)
        vector = noise.expand(members, n, -1, -1).flatten(1, 2)
        for index in range(steps):
            clean = self._clean(vector, taken[index].expand(n * samples), conditioned)
            if index == steps - 1:
                vector = clean
                break
            now, later = signal_share(taken[index]), signal_share(taken[index + 1])
            implied = (vector - now.sqrt() * clean) / (1 - now).sqrt()
            vector = later.sqrt() * clean + (1 - later).sqrt() * implied
        return vector.view(members, n, samples, size)
