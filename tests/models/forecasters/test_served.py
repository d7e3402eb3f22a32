"""The served mixture: its mean, how its members are chosen, and members that are not the same."""

import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models import registry
from models.cascades.batch import Batch, gather
from models.cascades.familiarity import COLUMNS, Familiarity
from models.cascades.features import features_of
from models.cascades.observations import end_of
from models.cascades.recordings import Source
from models.data.datasets import snapshot_at
from models.files import CARD
from models.forecasters import mlp, seismic, served_training
from models.forecasters.calibration import Calibration, held_out
from models.forecasters.networks.mlp import MLPNetwork
from models.forecasters.neural import MLP
from models.forecasters.seismic import Constants, Seismic
from models.forecasters.served import Fallback, Member, Served
from models.interface import Forecaster, Increments
from models.learning.recipes import Trained, silent
from models.registry import BrokenModelError
from tests.models.recorded import made

CASCADES = made(80)
SOURCE = Source("made", CASCADES[:50], CASCADES[50:], end_of(CASCADES))
HORIZONS = np.array([7_200.0, 86_400.0])


class Off(Forecaster):
    """Says the mean of the validation part, off by some."""

    name, version = "off", "0"

    def __init__(self, by: float) -> None:
        held = held_out([SOURCE])
        targets = np.log2(1 + np.concatenate([seen.increments for seen in held]))
        weights = np.concatenate([seen.weights for seen in held])
        self.value = float(np.average(targets.mean(axis=1), weights=weights)) + by

    def forecast_batch(self, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
        mean = np.full(horizons.shape, self.value)
        return Increments(mean[..., None] + np.array([-2, -1, 0, 1, 2]), np.exp2(mean), mean)


def training(rehearsal: float, model: float | None = None) -> Callable[..., Trained]:
    def train(sources: Any, *, seed: int, report: Any) -> Trained:
        report("epochs", 1, 1, 0.5)
        found = {"seed": seed}
        return Trained(Off(rehearsal if model is None else model), found, Off(rehearsal))

    return train


def mixed(**members: Callable[..., Trained]) -> Trained:
    return served_training.train([SOURCE], members=members, seed=4)


def test_an_answer_is_the_weighted_mean_of_the_members() -> None:
    snapshots = [snapshot_at(cascade, 3_600.0) for cascade in made(10, seed=1)]
    members = [Seismic(Constants()), Seismic(Constants(deviation=2.0, plateau=900.0))]
    got = Served([Member(members[0], 0.25), Member(members[1], 0.75)]).forecast(snapshots, HORIZONS)
    said = [member.forecast(snapshots, HORIZONS) for member in members]
    for field in ("quantiles", "log_mean"):
        expected = 0.25 * getattr(said[0], field) + 0.75 * getattr(said[1], field)
        np.testing.assert_allclose(getattr(got, field), expected, atol=1e-12)


def test_members_that_do_well_together_are_chosen_with_equal_weights() -> None:
    made_ = mixed(low=training(-2.0), high=training(2.0), far=training(9.0))
    assert isinstance(made_.model, Served)
    assert [(model.value, weight) for model, weight in made_.model.members] == [
        (Off(-2.0).value, 0.5),
        (Off(2.0).value, 0.5),
    ]
    assert made_.found["members"] == {"low": {"seed": 4}, "high": {"seed": 4}}
    errors = made_.found["validation_error"]
    assert len(errors) == 7
    assert min(errors, key=errors.__getitem__) == "low + high"
    assert made_.model.calibration == made_.rehearsal.calibration
    assert made_.model.calibration.shift == (0.0,) * 4


def test_one_that_does_best_alone_is_taken_alone() -> None:
    made_ = mixed(right=training(0.0), far=training(5.0), further=training(8.0))
    assert list(made_.found["members"]) == ["right"]
    assert [weight for _, weight in made_.model.members] == [1.0]


def test_members_are_chosen_as_they_were_before_they_saw_the_validation_part() -> None:
    made_ = mixed(honest=training(0.5), cheat=training(6.0, model=0.0))
    assert list(made_.found["members"]) == ["honest"]


def test_a_fall_back_is_trained_with_what_training_observations_are_like() -> None:
    made_ = served_training.train(
        [SOURCE], members={"one": training(0.0)}, fallback=seismic.train, seed=0
    )
    assert isinstance(made_.model, Served) and made_.model.fallback is not None
    assert isinstance(made_.model.fallback.model, Seismic)
    assert list(made_.found["members"]) == ["one", "seismic"]
    near, far = made_.model.fallback.familiarity.bounds
    assert 0.5 < near < far


def test_a_report_tells_whose_stage_it_is() -> None:
    told: list[str] = []

    def report(stage: str, done: int, total: int, loss: float | None = None) -> None:
        told.append(stage)

    served_training.train([SOURCE], members={"one": training(0.0)}, seed=0, report=report)
    assert told == ["one, epochs"]
    silent("epochs", 0, 1)


# ------------------------------------------------------------------ strange cascades


def familiar(near: float, far: float) -> Familiarity:
    size = len(COLUMNS)
    return Familiarity(np.zeros(size), np.ones(size), np.eye(size), np.array([near, far]))


@pytest.mark.parametrize(("near", "far", "share"), [(90.0, 91.0, 0.0), (0.0, 0.1, 1.0)])
def test_the_stranger_a_cascade_the_more_the_fall_back_answers(
    near: float, far: float, share: float
) -> None:
    snapshots = [snapshot_at(cascade, 3_600.0) for cascade in made(10, seed=1)]
    low, high = Off(-3.0), Off(1.0)
    model = Served([Member(low, 1.0)], fallback=Fallback(high, familiar(near, far)))
    got = model.forecast(snapshots, HORIZONS)
    mean = low.value + share * (high.value - low.value)
    np.testing.assert_allclose(got.log_mean, mean)
    np.testing.assert_allclose(got.quantiles[..., 2], mean)
    # The interval reaches over what both say.
    np.testing.assert_allclose(got.quantiles[..., 0], np.maximum(low.value - 2, 0.0))
    np.testing.assert_allclose(got.quantiles[..., 4], mean + 2)


def test_an_answer_does_not_depend_on_how_strange_the_others_are() -> None:
    snapshots = [snapshot_at(cascade, 3_600.0) for cascade in made(30, seed=1)]
    rows = features_of(gather(snapshots), np.tile(HORIZONS, (30, 1)))
    near, far = np.quantile(np.sqrt((np.clip(rows[..., COLUMNS], -6, 6) ** 2).mean(-1)), [0.3, 0.7])
    fallback = Fallback(Seismic(Constants()), familiar(near, far))
    strange = fallback.familiarity.strangeness(rows)
    assert (strange == 0).any() and ((strange > 0) & (strange < 1)).any() and (strange == 1).any()
    model = Served([Member(Off(0.5), 1.0)], fallback=fallback)
    together = model.forecast(snapshots, HORIZONS)
    for index, snapshot in enumerate(snapshots):
        alone = model.forecast([snapshot], HORIZONS)
        np.testing.assert_array_equal(alone.log_mean[0], together.log_mean[index])
        np.testing.assert_array_equal(alone.quantiles[0], together.quantiles[index])


def test_members_that_read_alike_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    perceptrons = [MLP(MLPNetwork(mlp.Config(members=1, head=4, bins=2))) for _ in range(2)]
    snapshots = [snapshot_at(cascade, 3_600.0) for cascade in made(4)]
    expected = np.mean([one.forecast(snapshots, HORIZONS).log_mean for one in perceptrons], axis=0)
    reads: list[int] = []

    def read(batch: Batch, horizons: NDArray[np.float64]) -> NDArray[np.float64]:
        reads.append(len(batch.ages))
        return features_of(batch, horizons)

    for one in perceptrons:
        monkeypatch.setattr(one, "read", read)
    got = Served([Member(one, 0.5) for one in perceptrons]).forecast(snapshots, HORIZONS)
    np.testing.assert_allclose(got.log_mean, expected)
    assert reads == [4]


# ------------------------------------------------------------------ files


@pytest.fixture
def written(tmp_path: Path) -> Served:
    torch.manual_seed(0)
    perceptron = MLP(MLPNetwork(mlp.Config(members=1, head=4, bins=2)))
    variant = Seismic(Constants(deviation=3.0))
    variant.name = "closed"
    model = Served(
        [Member(Seismic(Constants(deviation=1.5)), 0.5), Member(perceptron, 0.5)],
        Calibration(shift=(0.1, 0.0, 0.0)),
        version="2",
        fallback=Fallback(variant, familiar(0.0, 0.1)),
    )
    registry.write(
        model,
        tmp_path,
        description="a test",
        command="none",
        data=[],
        training={"seed": 3, "members": {"seismic": {"ages": 4}, "mlp": {}, "closed": {}}},
        metrics={},
    )
    return model


@pytest.mark.usefixtures("written")
def test_what_is_written_is_for_other_users_too(tmp_path: Path) -> None:
    expected = stat.S_IMODE((tmp_path / "mlp" / "2" / CARD).stat().st_mode)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {expected}


def test_a_mixture_is_written_with_its_members_and_loads(tmp_path: Path, written: Served) -> None:
    assert registry.list_names(tmp_path) == ["closed", "mlp", "seismic", "served"]
    assert registry.list_versions("mlp", tmp_path) == ["2"]
    card = registry.read_card("seismic", root=tmp_path)
    assert card.training == {"ages": 4, "recipe": "seismic", "seed": 3}
    loaded = registry.load("served", root=tmp_path)
    assert (loaded.name, loaded.version) == ("served", "2")
    assert isinstance(loaded, Served) and loaded.fallback is not None
    assert (loaded.fallback.model.name, loaded.fallback.model.version) == ("closed", "2")
    snapshots = [snapshot_at(cascade, 3_600.0) for cascade in made(10, seed=1)]
    before, after = (one.forecast(snapshots, HORIZONS) for one in (written, loaded))
    np.testing.assert_allclose(after.log_mean, before.log_mean, atol=0.01)


@pytest.mark.usefixtures("written")
def test_a_member_with_another_card_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mlp" / "2"
    card = registry.read_card("mlp", root=tmp_path)
    registry.write_card(folder, msgspec.structs.replace(card, description="another"))
    assert registry.load("mlp", root=tmp_path).version == "2"
    with pytest.raises(BrokenModelError, match=r"mlp 2 is not the one that was mixed.*sha256:"):
        registry.load("served", root=tmp_path)


@pytest.mark.usefixtures("written")
def test_a_mixture_without_its_member_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mlp" / "2" / CARD).unlink()
    with pytest.raises(BrokenModelError, match="cannot be read"):
        registry.load("served", root=tmp_path)
    shutil.rmtree(tmp_path / "mlp")
    with pytest.raises(BrokenModelError, match="cannot be read"):
        registry.load("served", root=tmp_path)


@pytest.mark.usefixtures("written")
def test_a_member_whose_weights_were_altered_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mlp" / "2" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BrokenModelError, match=r"weights\.safetensors: got digest"):
        registry.load("served", root=tmp_path)
