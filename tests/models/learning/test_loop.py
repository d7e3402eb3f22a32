"""Trainings of networks that can be worked out, to their end and interrupted."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.forecasters.networks.concat import Targets
from models.learning.checkpoint import Checkpoint, checkpoints
from models.learning.loop import Block, Network, Schedule, evaluate, train

GOAL = 0.3


class Rising(Network):
    """A network whose loss drives its one number up, past the goal of the validation part."""

    config = None
    members = 1

    def __init__(self) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.zeros(1))

    def fit_inputs(self, observed: Any, targets: Any) -> None:
        pass

    def loss(self, observed: Tensor, targets: Targets) -> Tensor:
        return -(self.number * observed).sum()

    def predict(self, observed: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mean = np.full((1, 1), float(self.number.detach()))
        return mean, mean[..., None]


class Noise:
    """Blocks of what a generator draws."""

    def __len__(self) -> int:
        return 4

    def blocks(self, rng: np.random.Generator) -> Iterator[Block]:
        for _ in range(len(self)):
            yield torch.from_numpy(rng.uniform(0.5, 2, 3)).float(), goal()


def goal(weight: float = 1.0) -> Targets:
    increments = torch.full((1, 1), GOAL)
    return Targets(increments, increments[..., None], torch.full((1,), weight))


VALIDATION: list[Block] = [(torch.zeros(3), goal())]
SCHEDULE = Schedule(epochs=40, patience=3, averaged=0.5, rate=0.02)


def test_a_training_stops_in_time_and_keeps_the_best() -> None:
    network = Rising()
    losses: list[float | None] = []

    def report(stage: str, done: int, total: int, loss: float | None = None) -> None:
        assert (stage, total) == ("epochs", 160)
        losses.append(loss)

    found = train(network, Noise(), VALIDATION, SCHEDULE, seed=1, report=report)
    assert found["epochs"] == found["best"] + SCHEDULE.patience < SCHEDULE.epochs
    assert evaluate(network, VALIDATION) == pytest.approx(found["validation_loss"], abs=1e-4)
    told = [loss for loss in losses if loss is not None]
    assert losses[0] is None
    assert min(told) == told[-1] == pytest.approx(evaluate(network, VALIDATION))
    assert float(network.number.detach()) == pytest.approx(GOAL, abs=0.1)


def test_a_training_that_goes_on_improving_runs_all_its_epochs() -> None:
    schedule = Schedule(epochs=5, patience=3, rate=1e-3)
    found = train(Rising(), Noise(), VALIDATION, schedule, seed=1)
    assert found["epochs"] == found["best"] == 5


def test_the_validation_loss_is_weighted() -> None:
    away = goal(3.0)._replace(increments=torch.full((1, 1), 2.0))
    blocks: list[Block] = [(torch.zeros(3), goal()), (torch.zeros(3), away)]
    assert evaluate(Rising(), blocks) == pytest.approx((GOAL**2 + 3 * 4) / 4)


def test_an_interrupted_training_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "kept"

    def trained(until: int | None = None) -> tuple[Rising, dict[str, Any], int]:
        network, first = Rising(), 0

        def report(stage: str, done: int, total: int, loss: float | None = None) -> None:
            nonlocal first
            first = first or done
            if done == until:
                raise KeyboardInterrupt

        with checkpoints(folder):
            found = train(
                network, Noise(), VALIDATION, SCHEDULE, 1, report, Checkpoint("a training")
            )
        return network, found, first

    whole, expected, first = trained()
    assert first == 1
    assert not folder.exists()
    with pytest.raises(KeyboardInterrupt):
        trained(until=14)
    assert len(list(folder.iterdir())) == 1
    resumed, found, first = trained()
    assert first == 13
    assert found == expected
    assert torch.equal(resumed.number, whole.number)


def test_trainings_that_share_a_folder_leave_each_other_alone(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    tensors = {"number": torch.ones(1)}
    with checkpoints(folder):
        one = Checkpoint("one")
        one.save(tensors, 1)
        with checkpoints(folder, resume=False):
            other = Checkpoint("other")
            other.save(tensors, 2)
        assert one.load() is not None and other.load() is None
        (folder / "elsewhere").mkdir()
    assert [path.name for path in folder.iterdir()] == ["elsewhere"]
    with checkpoints(folder):
        again = Checkpoint("one")
        shutil.rmtree(folder)  # as the last of others would have it
        again.save(tensors, 1)
        assert again.load() is not None
    assert not folder.exists()
