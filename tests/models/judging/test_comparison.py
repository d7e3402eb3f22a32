"""Comparison of models on small cascades that are made: training, keeping, measuring."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.cascades.batch import Batch
from models.cascades.observations import end_of
from models.cascades.recordings import Source
from models.cascades.windows import Window
from models.data.datasets import split_chronologically, split_randomly
from models.files import DataSet
from models.forecasters.seismic import Constants, Seismic
from models.interface import Forecaster, Increments
from models.judging import comparison
from models.judging.candidates import Candidate, Kept
from models.judging.comparison import Comparison, trained
from models.learning.recipes import AnyTimeRecipe, Recipe, Report, Trained, WindowRecipe
from models.registry import UnknownModelError
from models.training import RECIPES
from tests.models.recorded import made

HOUR, DAY = 3_600.0, 86_400.0
WINDOWS = (Window(HOUR, DAY), Window(2 * HOUR, DAY))
DATA = [DataSet("made.txt", "sha256:1", 200, 1)]


class Constant(Forecaster):
    """Says the same of every cascade."""

    name, version = "constant", "0"

    def __init__(self, value: float) -> None:
        self.value = value

    def forecast_batch(self, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
        means = np.full(horizons.shape, self.value)
        return Increments(np.stack([means - 1, means, means, means, means + 1], -1), means, means)


class Trainings:
    """Recipes that say which trainings there were."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, Window | None]] = []

    def any_time(self, sources: Sequence[Source], *, seed: int, report: Report) -> Trained:
        report("epochs", 1, 1)
        self.seen.append((seed, None))
        model = Seismic(Constants(deviation=1.0 + seed))
        return Trained(model, {"epochs": 1}, model)

    def one_window(
        self, sources: Sequence[Source], *, window: Window, seed: int, report: Report
    ) -> tuple[Forecaster, dict[str, Any]]:
        self.seen.append((seed, window))
        return Constant(float(seed)), {}


def source() -> Source:
    cascades = made(60)
    return Source("made", cascades[:40], cascades[40:], end_of(cascades))


def test_a_model_for_any_time_is_trained_once_a_seed_one_for_a_window_for_each() -> None:
    trainings = Trainings()
    recipes: dict[str, Recipe] = {
        "seismic": AnyTimeRecipe(trainings.any_time, "any"),
        "constant": WindowRecipe(trainings.one_window, "one"),
        "fixed": WindowRecipe(trainings.one_window, "one", seeded=False),
    }
    stages = []
    found = list(
        trained(recipes, [source()], WINDOWS, [3, 4], lambda stage, *_, **__: stages.append(stage))
    )
    assert trainings.seen == [
        (3, None), (4, None),
        *((seed, window) for seed in (3, 4) for window in WINDOWS),
        *((3, window) for window in WINDOWS),
    ]  # fmt: skip
    assert [candidate.name for candidate in found] == ["seismic"] * 2 + ["constant"] * 4 + [
        "fixed"
    ] * 2
    assert stages == ["seismic, seed 3: epochs", "seismic, seed 4: epochs"]


def test_results_are_means_over_seeds_with_their_deviation() -> None:
    cascades = made(200)
    compared = Comparison(cascades, 2e9, WINDOWS[:1])
    for seed, value in enumerate((4.0, 6.0)):
        compared.add(Candidate("constant", None, seed, Constant(value), seed + 1.0))
    [result] = compared.results()
    targets = np.log2([1 + np.sum((c.delays > HOUR) & (c.delays <= DAY))
                       for c in cascades if np.sum(c.delays <= HOUR) >= 10])  # fmt: skip
    errors = [np.mean((value - targets) ** 2) for value in (4.0, 6.0)]
    assert result.n == len(targets) > 30
    assert result.msle == pytest.approx(np.mean(errors))
    assert result.msle_sd == pytest.approx(np.std(errors, ddof=1))
    assert [one["msle"] for one in result.seeds] == pytest.approx(errors)
    assert [one["seed"] for one in result.seeds] == [0, 1]
    assert result.coverage_90 == pytest.approx(
        np.mean([np.mean(abs(targets - value) <= 1) for value in (4.0, 6.0)])
    )
    assert result.msle_interval[0] < result.msle < result.msle_interval[1]
    assert result.seconds == 1.5


def test_a_prequential_comparison_corrects_by_what_came_before() -> None:
    cascades = made(200)
    static, follows = (Comparison(cascades, 2e9, WINDOWS[:1], prequential=p) for p in (False, True))
    for compared in (static, follows):
        compared.add(Candidate("constant", None, 0, Constant(9.0), None))
    assert follows.results()[0].msle < 0.8 * static.results()[0].msle


def test_a_model_for_one_window_is_measured_there_alone() -> None:
    compared = Comparison(made(100), 2e9, WINDOWS)
    compared.add(Candidate("constant", WINDOWS[1], 0, Constant(1.0), 0.1))
    compared.add(Candidate("seismic", None, 0, Seismic(Constants()), 0.1))
    assert [(one.model, one.observe) for one in compared.results()] == [
        ("seismic", HOUR), ("constant", 2 * HOUR), ("seismic", 2 * HOUR),
    ]  # fmt: skip


def test_kept_models_are_found_again_if_seed_data_split_and_recipe_are_the_same(
    tmp_path: Path,
) -> None:
    def run(name: str, seed: int, data: Sequence[DataSet], split: str) -> int:
        trainings = Trainings()
        recipes = {name: AnyTimeRecipe(trainings.any_time, "any")}
        kept = Kept(tmp_path, data, split, "tidecast evaluate")
        [found] = trained(recipes, [source()], WINDOWS, [seed], kept=kept)
        assert isinstance(found.model, Seismic)
        assert found.model.constants.deviation == 1.0 + seed
        assert found.seconds is not None
        return len(trainings.seen)

    assert run("seismic", 0, DATA, "chronological") == 1
    assert run("seismic", 0, DATA, "chronological") == 0
    assert run("seismic", 1, DATA, "chronological") == 1
    assert run("seismic", 0, DATA, "random") == 1
    other = [DataSet("made.txt", "sha256:2", 200, 1)]
    assert run("seismic", 0, other, "chronological") == 1
    assert run("seismic", 0, DATA, "chronological") == 0
    assert run("seismic", 0, other, "chronological") == 0


def test_too_few_cascades_for_one_window_are_told_and_the_rest_goes_on() -> None:
    told: list[str] = []
    windows = (Window(HOUR, DAY), Window(10.0, DAY))
    found = list(trained({"mean": RECIPES["mean"]}, [source()], windows, [0], skipped=told.append))
    assert [candidate.window for candidate in found] == [windows[0]]
    assert len(told) == 1
    assert "mean" in told[0]


def test_ready_models_come_with_their_cards_and_those_of_one_window_are_refused() -> None:
    [(candidate, card)] = comparison.pretrained(["seismic"], RECIPES)
    assert (candidate.name, candidate.window, candidate.seed) == ("seismic", None, None)
    assert card.data[0].digest.startswith("sha256:")
    with pytest.raises(comparison.ComparisonError, match=r"mean.*one window"):
        comparison.pretrained(["seismic", "mean"], RECIPES)
    with pytest.raises(UnknownModelError, match="absent"):
        comparison.pretrained(["absent"], RECIPES)


def test_a_random_split_has_the_parts_of_a_chronological_one_in_size_alone() -> None:
    cascades = made(100)
    by_time, drawn = split_chronologically(cascades), split_randomly(cascades)
    assert [len(part) for part in drawn] == [len(part) for part in by_time] == [70, 15, 15]
    assert {c.cascade_id for part in drawn for c in part} == {c.cascade_id for c in cascades}
    assert min(c.published_at for c in drawn.test) < max(c.published_at for c in drawn.train)
    assert [c.cascade_id for c in drawn.test] == [c.cascade_id for c in split_randomly(cascades)[2]]
    for part in drawn:
        assert [c.published_at for c in part] == sorted(c.published_at for c in part)
