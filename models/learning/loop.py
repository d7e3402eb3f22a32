"""Training of neural networks.

A training runs over epochs of blocks that the material draws anew, keeps the weights that did best
on the validation part, and then learns from training and validation parts together for a few
epochs more: the latest cascades resemble the ones to come the most.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.learning.checkpoint import Checkpoint
from models.learning.recipes import Report, silent

Block = tuple[Any, Any]
# Seeds of the epochs of `train_again` count from here.
_AGAIN = 1_000
# It begins at this share of the learning rate, and falls.
_AGAIN_RATE = 0.3


class Trainable(nn.Module, ABC):
    """What `train` asks of a network; what it reads is its own affair.

    Attributes:
        members: networks of one shape side by side.
    """

    members: int = 1

    @abstractmethod
    def loss(self, observed: Any, targets: Any) -> Tensor:
        """What training makes small, summed over members."""

    @abstractmethod
    def validation_loss(self, blocks: list[Block]) -> float:
        """What the best weights are told by."""


class Network(Trainable):
    """A network that forecasts.

    Attributes:
        config: its configuration, a msgspec Struct.
    """

    config: Any

    @abstractmethod
    def fit_inputs(self, observed: Any, targets: Any) -> None:
        """Sets scales of inputs and outputs from training data, before any training."""

    def validation_loss(self, blocks: list[Block]) -> float:
        """Weighted mean squared error of the members' mean."""
        squared = weight = 0.0
        for observed, targets in blocks:
            mean = torch.from_numpy(self.point(observed))
            error = (mean - targets.increments) ** 2
            squared += float((targets.weights[:, None] * error).sum())
            weight += float(targets.weights.sum()) * error.shape[1]
        return squared / weight

    @abstractmethod
    def predict(self, observed: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean of log2(1 + increment), shape (n, horizons), and quantiles (..., levels)."""

    def point(self, observed: Any) -> NDArray[np.float64]:
        """The mean alone, for networks whose quantiles cost more."""
        return self.predict(observed)[0]


class Material(Protocol):
    """Where the blocks of an epoch come from."""

    def blocks(self, rng: np.random.Generator) -> Iterator[Block]:
        """Observations and targets, as the network's `loss` takes them."""

    def __len__(self) -> int:
        """Blocks an epoch."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    Attributes:
        epochs: over the training part at most; the rate rises, then falls as a cosine over them.
        patience: epochs without a better validation loss after which to stop.
        averaged: epochs over which weights are averaged, exponentially; the average is kept.
        again: epochs over training and validation parts together, at a falling part of the rate.
        rate: highest learning rate.
        decay: of weights, decoupled (AdamW).
        clip: of the gradient's norm, for each member.
    """

    epochs: int = 16
    patience: int = 5
    averaged: float = 2.0
    again: int = 3
    rate: float = 3e-3
    decay: float = 1e-2
    clip: float = 1.0


def train(
    network: Trainable,
    material: Material,
    validation: list[Block],
    schedule: Schedule,
    seed: int,
    report: Report = silent,
    checkpoint: Checkpoint | None = None,
) -> dict[str, Any]:
    """Trains the network in place and leaves it with its best weights on the validation part.

    Args:
        network: to train.
        material: of the training part.
        validation: blocks that stay the same.
        schedule: of the training.
        seed: epoch e draws with the seeds (seed, e), whatever came before it.
        report: is told of each block, with the latest validation loss.
        checkpoint: what to go on from, and to save to after each epoch.

    Returns:
        What was found: `epochs` run, the `best` one, its `validation_loss`.
    """
    run = _Run(network, schedule)
    if checkpoint is not None:
        run.restore(checkpoint)
    steps = schedule.epochs * len(material)
    memory = 1 - 1 / (schedule.averaged * len(material))
    done = run.epoch * len(material)
    while run.epoch < schedule.epochs and run.epoch - run.best_epoch < schedule.patience:
        run.epoch += 1
        rng = _seeded(seed, run.epoch)
        network.train()
        for observed, targets in material.blocks(rng):
            rising = 10 * (done + 1) / steps
            falling = 0.5 * (1 + math.cos(math.pi * done / steps))
            run.step(observed, targets, schedule.rate * min(rising, falling + 1e-3))
            done += 1
            # The average begins short, so that it does not hold on to the untrained weights.
            run.keep_average(min(memory, done / (done + 10)))
            report("epochs", done, steps, run.loss)
        run.judge(evaluate(run.average, validation))
        if checkpoint is not None:
            run.save(checkpoint)
    report("epochs", steps, steps, run.best_loss)
    network.load_state_dict(run.best)
    return {
        "epochs": run.epoch, "best": run.best_epoch, "validation_loss": round(run.best_loss, 4),
    }  # fmt: skip


def _seeded(*seeds: int) -> np.random.Generator:
    """A generator of these seeds; PyTorch's draws follow them too."""
    torch.manual_seed(np.random.SeedSequence(seeds).generate_state(1)[0])
    return np.random.default_rng(seeds)


class _Run:
    """A training as it stands: what a checkpoint holds."""

    def __init__(self, network: Trainable, schedule: Schedule) -> None:
        self.network = network
        self.average = copy.deepcopy(network)
        self.best = copy.deepcopy(network.state_dict())
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=schedule.rate, weight_decay=schedule.decay, betas=(0.9, 0.98)
        )
        self.clip = schedule.clip * network.members
        self.epoch = self.best_epoch = 0
        self.loss: float | None = None
        self.best_loss = math.inf

    def step(self, observed: Any, targets: Any, rate: float) -> None:
        """One step of the optimiser."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        self.network.loss(observed, targets).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimizer.step()

    @torch.no_grad()
    def keep_average(self, kept: float) -> None:
        """Moves the average towards the network."""
        pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
        for average, parameter in pairs:
            average.lerp_(parameter, 1 - kept)

    def judge(self, loss: float) -> None:
        """Takes the average for the best if its validation loss is the least."""
        self.loss = loss
        if loss < self.best_loss:
            self.best = copy.deepcopy(self.average.state_dict())
            self.best_loss, self.best_epoch = loss, self.epoch

    def save(self, checkpoint: Checkpoint) -> None:
        parts = {"network": self.network.state_dict(), "average": self.average.state_dict()}
        tensors = {
            f"{part}/{name}": tensor
            for part, state in {**parts, "best": self.best}.items()
            for name, tensor in state.items()
        }
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{name}": value for name, value in state.items()}
        checkpoint.save(tensors, [self.epoch, self.best_epoch, self.loss, self.best_loss])

    def restore(self, checkpoint: Checkpoint) -> None:
        found = checkpoint.load()
        if found is None:
            return
        tensors, (self.epoch, self.best_epoch, self.loss, self.best_loss) = found
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "best": {}}
        moments: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            part, _, name = key.partition("/")
            if part == "optimizer":
                index, _, name = name.partition("/")
                moments.setdefault(int(index), {})[name] = tensor
            else:
                parts[part][name] = tensor
        self.network.load_state_dict(parts["network"])
        self.average.load_state_dict(parts["average"])
        self.best = parts["best"]
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})


def train_again(
    network: Trainable,
    material: Material,
    schedule: Schedule,
    seed: int,
    report: Report = silent,
) -> None:
    """Goes on with a trained network on more material for `schedule.again` epochs."""
    run = _Run(network, schedule)
    steps, done = schedule.again * len(material), 0
    network.train()
    for epoch in range(schedule.again):
        for observed, targets in material.blocks(_seeded(seed, _AGAIN + epoch)):
            run.step(observed, targets, _AGAIN_RATE * schedule.rate * (1 - done / steps))
            done += 1
            report("epochs with validation", done, steps)
    network.eval()


@torch.no_grad()
def evaluate(network: Trainable, blocks: list[Block]) -> float:
    """The validation loss of a network as it is used."""
    network.eval()
    return network.validation_loss(blocks)
