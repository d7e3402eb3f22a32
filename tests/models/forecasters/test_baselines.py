"""Baselines of one window against what their definitions give."""

import numpy as np
import pytest

from models.cascades.recordings import Source
from models.cascades.windows import Window, labels
from models.data.datasets import ROOT, Cascade, snapshot_at
from models.forecasters import baselines
from models.interface import LEVELS
from models.judging.evaluation import forecast_window
from models.training import RECIPES

WINDOW = Window(100.0, 1_000.0)


def cascade(observed: int, later: int, published_at: float) -> Cascade:
    """So many events in the first 100 seconds, and so many between 100 and 1,000."""
    delays = np.concatenate([np.linspace(0, 99, observed), np.linspace(101, 999, later)])
    parents = np.array([ROOT] + [0] * (observed + later - 1), np.int32)
    return Cascade(
        "c", "0", published_at, [str(i) for i in range(observed + later)], parents, delays
    )


def made(count: int = 60) -> list[Cascade]:
    """The increment is the square root of the observed count, times 1/2, 1 or 2, less 1."""
    found = []
    for number in range(count):
        observed = 16 * 4 ** (number % 3)
        later = int(observed**0.5 * 2.0 ** (number // 3 % 3 - 1)) - 1
        found.append(cascade(observed, later, 1e9 + number))
    return found


def source(share: float = 1.0, count: int = 54) -> Source:
    cascades = made(count)
    return Source("made", cascades, cascades, 2e9, share)


def test_the_mean_is_that_of_the_training_part_whatever_was_observed() -> None:
    model, found = baselines.train_mean([source()], window=WINDOW, seed=0)
    targets = np.log2(1 + labels(source().train, WINDOW))
    forecast = forecast_window(model, made(3), WINDOW)
    assert forecast.log_mean[:, 0] == pytest.approx(np.full(3, targets.mean()))
    assert forecast.quantiles[0, 0] == pytest.approx(
        np.quantile(targets, LEVELS, method="inverted_cdf")
    )
    assert found["cascades"] == 54


def test_loglinear_finds_the_power_and_the_spread() -> None:
    model, _ = baselines.train_loglinear([source()], window=WINDOW, seed=0)
    assert model.coefficients == pytest.approx([0.5, 0.0], abs=1e-9)
    forecast = forecast_window(model, [cascade(64, 0, 1e9)], WINDOW)
    assert forecast.log_mean[0, 0] == pytest.approx(3)
    # A third each lies a doubling below, at and above the line.
    assert forecast.quantiles[0, 0] == pytest.approx([2, 2, 3, 4, 4])


def test_sources_count_by_their_shares() -> None:
    few = Source("few", [cascade(16, 0, 1e9 + n) for n in range(12)], [], 2e9, 0.25)
    many = Source("many", [cascade(16, 15, 1e9 + n) for n in range(36)], [], 2e9, 0.75)
    model, _ = baselines.train_mean([few, many], window=WINDOW, seed=0)
    assert model.coefficients == pytest.approx([0.75 * 4])


@pytest.mark.parametrize("name", ["mean", "loglinear", "window-boosting"])
def test_another_window_is_refused(name: str) -> None:
    model, _ = RECIPES[name]([source()], seed=0, window=WINDOW)
    for age, horizon in ((101.0, 1_000.0), (100.0, 2_000.0)):
        with pytest.raises(ValueError, match="fitted for"):
            model.forecast([snapshot_at(made(1)[0], age)], np.array([horizon]))


@pytest.mark.parametrize("name", ["mean", "loglinear", "window-boosting"])
def test_no_window_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no window"):
        RECIPES[name]([source()], seed=0)


@pytest.mark.parametrize("name", ["mean", "loglinear", "window-boosting"])
def test_too_few_cascades_are_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(baselines.TooFewError, match=r"got 3 cascades.*at least 10.*more files"):
        RECIPES[name]([source(count=3)], seed=0, window=WINDOW)


def test_window_boosting_learns_more_than_the_mean_and_answers_in_order() -> None:
    rng = np.random.default_rng(0)
    cascades = [
        cascade(observed, int(observed * rng.uniform(0.9, 1.1)), 1e9 + number)
        for number, observed in enumerate(rng.integers(10, 400, 300))
    ]
    told = Source("made", cascades[:200], cascades[200:250], 2e9)
    model, found = RECIPES["window-boosting"]([told], seed=0, window=WINDOW)
    test = cascades[250:]
    targets = np.log2(1 + labels(test, WINDOW))
    forecast = forecast_window(model, test, WINDOW)
    assert np.mean((forecast.log_mean[:, 0] - targets) ** 2) < 0.2 * targets.var()
    assert (np.diff(forecast.quantiles) >= 0).all()
    assert len(found["trees"]) == 1 + len(LEVELS)
    assert forecast_window(model, [], WINDOW).quantiles.shape == (0, 1, len(LEVELS))
