"""Training of neural networks, and the forecaster that each becomes.

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

from models.recipes import Report, silent

Block = tuple[Any, Any]


class Network(nn.Module, ABC):
    """Several members of one shape; what it reads is its own affair.

    Attributes:
        config: its configuration, a msgspec Struct.
        members: networks side by side.
    """

    config: Any
    members: int

    @abstractmethod
    def fit_inputs(self, observed: Any, targets: Any) -> None:
        """Sets scales of inputs and outputs from training data, before any training."""

    @abstractmethod
    def loss(self, observed: Any, targets: Any) -> Tensor:
        """What training makes small, summed over members."""

    @abstractmethod
    def predict(self, observed: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean of log2(1 + increment), shape (n, horizons), and quantiles (..., levels)."""


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
        again: epochs over training and validation parts together, at a tenth of the rate, falling.
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
    network: Network,
    material: Material,
    validation: list[Block],
    schedule: Schedule,
    seed: int,
    report: Report = silent,
    stage: str = "epochs",
) -> dict[str, Any]:
    """Trains the network in place and leaves it with its best weights on the validation part.

    Args:
        network: has `loss(observed, targets)` and `config.members`.
        material: of the training part.
        validation: blocks that stay the same.
        schedule: of the training.
        seed: epoch e draws with the seeds (seed, e), whatever came before it.
        report: is told of each block, with the latest validation loss.
        stage: what it is told.

    Returns:
        What was found: `epochs` run, the `best` one, its `validation_loss`.
    """
    members = network.members
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=schedule.rate, weight_decay=schedule.decay, betas=(0.9, 0.98)
    )
    steps = schedule.epochs * len(material)
    warm = max(1, steps // 10)
    average = copy.deepcopy(network)
    memory = 1 - 1 / (schedule.averaged * len(material))
    best, best_loss, best_epoch = copy.deepcopy(network.state_dict()), math.inf, 0
    done, epoch, loss = 0, 0, None
    for epoch in range(1, schedule.epochs + 1):
        rng = np.random.default_rng((seed, epoch))
        torch.manual_seed(hash((seed, epoch)) & 0x7FFFFFFF)
        network.train()
        for observed, targets in material.blocks(rng):
            share = min(done / steps, 1.0)
            rising = (done + 1) / warm
            falling = 0.5 * (1 + math.cos(math.pi * share))
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate * min(rising, falling + 1e-3)
            _step(network, optimizer, observed, targets, schedule.clip * members)
            done += 1
            kept = min(memory, done / (done + 10))
            with torch.no_grad():
                torch._foreach_lerp_(
                    list(average.parameters()), list(network.parameters()), 1 - kept
                )
            report(stage, done, steps, loss)
        loss = evaluate(average, validation)
        if loss < best_loss:
            best, best_loss, best_epoch = copy.deepcopy(average.state_dict()), loss, epoch
        elif epoch - best_epoch >= schedule.patience:
            break
    report(stage, steps, steps, best_loss)
    network.load_state_dict(best)
    return {"epochs": epoch, "best": best_epoch, "validation_loss": round(best_loss, 4)}


def train_again(
    network: Network,
    material: Material,
    schedule: Schedule,
    seed: int,
    report: Report = silent,
) -> None:
    """Goes on with a trained network on more material for `schedule.again` epochs."""
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=schedule.rate, weight_decay=schedule.decay, betas=(0.9, 0.98)
    )
    steps, done = schedule.again * len(material), 0
    network.train()
    for epoch in range(schedule.again):
        rng = np.random.default_rng((seed, 1_000 + epoch))
        torch.manual_seed(hash((seed, 1_000 + epoch)) & 0x7FFFFFFF)
        for observed, targets in material.blocks(rng):
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate * 0.3 * (1 - done / steps)
            _step(network, optimizer, observed, targets, schedule.clip * network.members)
            done += 1
            report("epochs with validation", done, steps)
    network.eval()


def _step(
    network: Network, optimizer: torch.optim.Optimizer, observed: Any, targets: Any, clip: float
) -> None:
    optimizer.zero_grad()
    network.loss(observed, targets).backward()
    nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimizer.step()


@torch.no_grad()
def evaluate(network: Network, blocks: list[Block]) -> float:
    """Weighted mean squared error of the members' mean over the blocks."""
    network.eval()
    squared = weight = 0.0
    for observed, targets in blocks:
        mean, _ = network.predict(observed)
        error = (torch.from_numpy(mean) - targets.increments) ** 2
        squared += float((targets.weights[:, None] * error).sum())
        weight += float(targets.weights.sum()) * error.shape[1]
    return squared / weight
