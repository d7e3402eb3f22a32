"""The network of a neural ranker: histories of requests in, mixtures of decayed counts out.

After every few hundred requests each object that was requested among them is stepped. What comes
out are weights w of its decayed counts, one mixture for each of several horizons: the object's
expected share of the requests over that horizon is sum_k w_k share_k
(`models.caches.request_history`). It
holds from then on: between steps the counts decay in closed form and grow by each request, so a
burst counts at once and an object without requests costs nothing.

The weights are exp(prior + correction): the prior is learned too, and is what a new object and a
network that has nothing to say get. The body is `models.caches.networks.mamba` in CacheMamba,
causal attention in the Transformer that it is compared with.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.caches.request_history import TAUS, WIDTH
from models.caches.stepper import FEATURE_LIMIT, HORIZONS, LIMIT, Config, Memory
from models.learning.loop import Block, Trainable

# Weights of the listwise loss and of what caches miss, beside the Poisson loss: a cache goes by the
# order alone.
_ORDER, _MISSES = 5.0, 10.0
_CACHES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # sizes as shares of the objects
_SOFT = 0.3  # width of a cache's edge in log share
_LEAST = 1e-9  # share, so that a logarithm is finite


class RankerNetwork(Trainable):
    """Features of steps to log weights of `TAUS` for each of `HORIZONS`.

    Args:
        config: its shape.
        body: layers between the embedding and the weights.
    """

    config: Config
    mean: Tensor
    scale: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("scale", torch.ones(WIDTH))
        self.embed = nn.Linear(WIDTH, config.width)
        self.norm = nn.RMSNorm(config.width)
        self.correct = nn.Linear(config.width, len(HORIZONS) * len(TAUS))
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)
        distance = (torch.tensor(TAUS).log() - torch.tensor(HORIZONS).log()[:, None]).abs()
        self.prior = nn.Parameter(torch.log_softmax(-distance / math.log(2), -1))

    @abstractmethod
    def body(self, hidden: Tensor, offsets: NDArray[np.int64], elapsed: Tensor) -> Tensor:
        """From the embedding of each step to what the weights are read from, of equal shape."""

    @abstractmethod
    def start(self, objects: int) -> list[Tensor]:
        """The memory of objects before their first step; the first axis of each is theirs."""

    @abstractmethod
    def advance(
        self, hidden: Tensor, memory: list[Tensor], elapsed: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """`body` for one step of each object, and the new memory.

        Args:
            hidden: shape (objects, width).
            memory: of the objects.
            elapsed: thousands of requests served since the step before, shape (objects,).
        """

    @torch.no_grad()
    def step(
        self, features: Tensor, memory: list[Tensor], elapsed: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Log weights after one step of each object, and the new memory: `forward`, step by step.

        Args:
            features: of `RequestHistory.step`, shape (objects, WIDTH).
            memory: of the objects.
            elapsed: thousands of requests served since the step before, shape (objects,).
        """
        hidden, memory = self.advance(self._embed(features), memory, elapsed)
        return self._weigh(hidden), memory

    def forward(self, features: Tensor, offsets: NDArray[np.int64], elapsed: Tensor) -> Tensor:
        """Log weights after each step of ragged sequences, (steps, horizons, time constants).

        Args:
            features: of `RequestHistory.step`, shape (steps, WIDTH).
            offsets: steps of object i are those from `offsets[i]` to `offsets[i + 1]`.
            elapsed: thousands of requests served since the step before, shape (steps,).
        """
        return self._weigh(self.body(self._embed(features), offsets, elapsed))

    def loss(self, observed: Any, targets: Any) -> Tensor:
        """Three losses, over all queries and horizons.

        Poisson loss of the shares: right when their size is. Cross entropy of ListNet (Cao et al.,
        ICML 2007): right when objects stand in the right order to each other. And what caches of
        several sizes would miss that hold the objects of the highest scores, with the edge between
        in and out softened: only there does the order matter to a cache.

        Args:
            observed: `models.caches.networks.material.Observed`.
            targets: shares of the requests to come, for each query (objects, horizons).
        """
        weights = self(observed.features, observed.offsets, observed.elapsed).exp()
        total = weights.new_zeros(())
        for rows, shares, target in zip(observed.rows, observed.shares, targets, strict=True):
            log = torch.log((weights[rows] * shares[:, None]).sum(-1) + _LEAST)
            size = (log.exp() - target * log).sum(0)
            portion = target / target.sum(0).clamp_min(_LEAST)
            order = -(portion * torch.log_softmax(log, 0)).sum(0)
            total = total + (size + _ORDER * order + _MISSES * _missed(log, portion)).mean()
        mean: Tensor = total / len(targets)
        return mean

    def validation_loss(self, blocks: list[Block]) -> float:
        """The loss, the mean over blocks."""
        return sum(float(self.loss(*block)) for block in blocks) / len(blocks)

    def fit_inputs(self, features: NDArray[np.float32]) -> None:
        """Takes the scale of the inputs from training data."""
        self.mean.copy_(torch.from_numpy(features.mean(0)))
        self.scale.copy_(1 / torch.from_numpy(features.std(0)).clamp_min(0.1))

    def _embed(self, features: Tensor) -> Tensor:
        scaled = (features - self.mean) * self.scale
        embedded: Tensor = self.embed(scaled.clamp(-FEATURE_LIMIT, FEATURE_LIMIT))
        return embedded

    def _weigh(self, hidden: Tensor) -> Tensor:
        correction = self.correct(self.norm(hidden)).unflatten(-1, self.prior.shape)
        return self.prior + LIMIT * torch.tanh(correction / LIMIT)


def _missed(log: Tensor, portion: Tensor) -> Tensor:
    """Share of the requests that caches of `_CACHES` would miss, on average, (horizons,).

    Args:
        log: of the expected shares, shape (objects, horizons).
        portion: each object's portion of the requests to come, of equal shape.
    """
    ranked = log.sort(0, descending=True).values
    missed = portion.new_zeros(portion.shape[1])
    for share in _CACHES:
        held = max(1, min(len(log) - 1, int(share * len(log))))
        edge = ranked[held - 1 : held + 1].mean(0)
        missed = missed + 1 - (portion * torch.sigmoid((log - edge) / _SOFT)).sum(0)
    return missed / len(_CACHES)


class TorchStepper:
    """A network stepped by PyTorch; see `models.caches.stepper.Stepper`."""

    FIXED = True  # no part of a cache's state

    def __init__(self, network: RankerNetwork) -> None:
        self.network = network.eval()
        self.config = network.config
        self.prior: NDArray[np.float32] = network.prior.detach().numpy()

    def start(self, objects: int) -> Memory:
        """See `Stepper`."""
        return [part.numpy() for part in self.network.start(objects)]

    def step(
        self, features: NDArray[np.float32], memory: Memory, elapsed: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], Memory]:
        """See `Stepper`."""
        weights, stepped = self.network.step(
            torch.from_numpy(features),
            [torch.from_numpy(part) for part in memory],
            torch.from_numpy(elapsed),
        )
        return weights.numpy(), [part.numpy() for part in stepped]
