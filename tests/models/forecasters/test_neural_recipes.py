"""The recipes of networks, on small cascades."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.cascades.observations import FEW_EVENTS, end_of, observe
from models.cascades.recordings import Source
from models.cascades.replays import Replays
from models.data.datasets import snapshot_at
from models.forecasters import neural_recipes
from models.forecasters.concat import COMPONENTS
from models.forecasters.neural import NeuralForecaster
from models.interface import Forecaster, Increments
from models.learning.recipes import Trained
from models.training import Once
from tests.models.recorded import made

CASCADES = made(85)
SOURCE = Source("made", CASCADES[:65], CASCADES[65:], end_of(CASCADES))
FRESH = list(observe(made(40, seed=1), 2e9, np.random.default_rng(0), ages=4, horizons=2))
concat, casft = neural_recipes.train_concat, neural_recipes.train_casft
TRAININGS: dict[str, Callable[..., Trained]] = {
    "concat": partial(concat, members=2),
    **{f"concat+{one}": partial(concat, components=(one,), members=1) for one in COMPONENTS},
    "concat-full": partial(concat, components=COMPONENTS, members=1),
    "concat-neural-flow": partial(concat, flow="neural", members=1),
    "casft": partial(casft, members=1),
    "casft-regression": partial(casft, components=("encoder",), trend="regression", members=1),
    "casft-unencoded": partial(casft, components=(), trend="regression", members=1),
    "mlp": partial(neural_recipes.train_mlp, members=2),
}


@cache
def trained(name: str) -> Trained:
    epochs = 2 if name == "concat-neural-flow" else 4  # Runge-Kutta steps are dear
    return TRAININGS[name]([SOURCE], seed=7, epochs=epochs)


def answers(model: Forecaster) -> Increments:
    snapshots = [snapshot_at(cascade, 3_600.0) for cascade in made(20, seed=2)]
    return model.forecast(snapshots, np.array([7_200.0, 86_400.0]))


@pytest.mark.parametrize("name", TRAININGS)
def test_a_recipe_learns(name: str) -> None:
    model = trained(name).model
    targets = np.log2(1 + np.concatenate([seen.increments for seen in FRESH]))
    said = [model.forecast_batch(seen.batch, seen.horizons) for seen in FRESH]
    error = np.mean((np.concatenate([one.log_mean for one in said]) - targets) ** 2)
    assert error < 0.7 * targets.var()
    quantiles = np.concatenate([one.quantiles for one in said])
    inside = (quantiles[..., 0] <= targets) & (targets <= quantiles[..., -1])
    # Calibration does not know of observations of fewer events.
    enough = np.concatenate([seen.batch.counts for seen in FRESH]) >= FEW_EVENTS
    assert 0.7 < inside[enough].mean() < 1


@pytest.mark.parametrize("name", TRAININGS)
def test_a_saved_network_answers_as_before_but_for_the_precision_of_its_files(
    name: str, tmp_path: Path
) -> None:
    model = trained(name).model
    assert isinstance(model, NeuralForecaster)
    folders = [tmp_path / "first", tmp_path / "second"]
    loaded: list[NeuralForecaster] = [model]
    for folder in folders:
        folder.mkdir()
        loaded[-1].save(folder)
        loaded.append(type(model).load(folder, "3"))
    first, second = (answers(one) for one in loaded[1:])
    np.testing.assert_array_equal(second.quantiles, first.quantiles)
    np.testing.assert_array_equal(second.log_mean, first.log_mean)
    before = answers(model)
    np.testing.assert_allclose(first.log_mean, before.log_mean, atol=0.02)
    np.testing.assert_allclose(first.quantiles, before.quantiles, atol=0.05)
    assert loaded[1].version == "3"
    contents = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert contents[0] == contents[1]
    assert contents[0].keys() == {"config.json", "weights.safetensors"}


@pytest.mark.parametrize("name", TRAININGS)
def test_the_rehearsal_has_other_weights_and_the_same_calibration(name: str) -> None:
    made_ = trained(name)
    assert made_.rehearsal.calibration == made_.model.calibration
    states = [one.network.state_dict() for one in (made_.model, made_.rehearsal)]
    assert any(not torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert made_.found["found"]["epochs"] <= 4


@pytest.mark.parametrize("name", ["concat", "concat-full", "casft", "mlp"])
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    small = Source("small", CASCADES[:16], CASCADES[16:24], end_of(CASCADES))
    one, same, other = (
        TRAININGS[name]([small], seed=seed, epochs=1).model.network.state_dict()
        for seed in (3, 3, 4)
    )
    assert all(torch.equal(value, same[key]) for key, value in one.items())
    assert any(not torch.equal(value, other[key]) for key, value in one.items())


def test_cascades_that_nothing_can_be_asked_of_make_no_block() -> None:
    cascades = made(20)
    end = cascades[10].published_at + 250
    source = Source("cut", cascades, [], end)
    material = neural_recipes.SequenceMaterial(Replays([(source, cascades[10:])], 0.0), False)
    assert list(material.blocks(np.random.default_rng(0))) == []
    material = neural_recipes.SequenceMaterial(Replays([(source, cascades[:16])], 0.0), False)
    [(observed, targets)] = material.blocks(np.random.default_rng(0))
    assert len(observed.until) == len(targets.weights) > 0


def test_a_training_is_run_once_for_the_same_sources_seed_and_options() -> None:
    runs: list[tuple[int, dict[str, Any]]] = []

    def run(sources: Any, *, seed: int, report: Any, **options: Any) -> Trained:
        runs.append((seed, options))
        return trained("mlp")

    once = Once(run)
    again = Source("made", list(CASCADES[:65]), CASCADES[65:], end_of(CASCADES))
    for sources, seed, options in [
        ([SOURCE], 1, {}), ([SOURCE], 1, {}), ([SOURCE], 2, {}), ([SOURCE], 1, {"members": 2}),
        ([SOURCE], 1, {"members": 2}), ([again], 1, {}), ([SOURCE, again], 1, {}),
        ([SOURCE], 1, {}),
    ]:  # fmt: skip
        assert once(sources, seed=seed, **options) is trained("mlp")
    assert runs == [(1, {}), (2, {}), (1, {"members": 2}), (1, {}), (1, {})]
