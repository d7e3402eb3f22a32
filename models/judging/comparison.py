"""Several models on the same cascades: trained once a seed, or read from a registry, and measured.

    comparison = Comparison(cascades, end, windows)
    for candidate in trained(RECIPES, sources, windows, seeds):
        comparison.add(candidate)
    comparison.results()    # a model and window each

A model for any time is trained once for all windows; one that is for a window alone, once for
each. Models of several seeds are measured one by one; a result is their mean.

    ComparisonError(TidecastError, ValueError)    models that cannot be had as was asked
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models import registry
from models.cascades.recordings import Source
from models.cascades.windows import Window, eligible, labels
from models.data.datasets import Cascade
from models.forecasters.baselines import TooFewError
from models.judging.candidates import Candidate, Kept
from models.judging.evaluation import forecast_window
from models.judging.metrics import measure
from models.judging.prequential import followed
from models.learning.recipes import AnyTimeRecipe, Recipe, Report, silent
from topics.errors import TidecastError

# Resamples of the test cascades for the interval of an error.
RESAMPLES = 1_000


class ComparisonError(TidecastError, ValueError):
    """A comparison that cannot be made as it was asked for."""


class Result(msgspec.Struct, frozen=True):
    """A model in a window: means over its seeds.

    Attributes:
        model: its name.
        observe, horizon: of the window, seconds since publication.
        n: cascades it was measured on.
        msle, mape, coverage_90, pinball, expected_ratio: as `models.judging.metrics.measure`.
        msle_sd, mape_sd: standard deviation over the seeds, 0 where there is but one.
        msle_interval: 95 % bootstrap interval of `msle` over cascades.
        seconds: of the training of one seed; None where nothing was trained.
        forecast_seconds: of the forecasts of all `n` cascades.
        seeds: the figures of each seed.
    """

    model: str
    observe: float
    horizon: float
    n: int
    msle: float
    mape: float
    msle_sd: float
    mape_sd: float
    msle_interval: tuple[float, float]
    coverage_90: float
    pinball: float
    expected_ratio: float
    seconds: float | None
    forecast_seconds: float
    seeds: list[dict[str, Any]]


def trained(
    recipes: Mapping[str, Recipe],
    sources: Sequence[Source],
    windows: Sequence[Window],
    seeds: Sequence[int],
    report: Report = silent,
    kept: Kept | None = None,
    skipped: Callable[[str], None] = lambda what: None,
) -> Iterator[Candidate]:
    """Trains each recipe for each seed, and for each window where it is for one alone.

    A recipe that no seed changes is trained with the first only. Models for any time are kept,
    and those that were are not trained again; the others are made in seconds.

    Args:
        recipes: to train, by name.
        sources: to learn from.
        windows: that the models will be asked about.
        seeds: of the trainings.
        report: is told how each gets on, its stages after the model's name and seed.
        kept: models of earlier calls.
        skipped: is told of a model for one window that has too few cascades to learn from.
    """
    for name, recipe in recipes.items():
        any_time = isinstance(recipe, AnyTimeRecipe)
        for seed in seeds if recipe.seeded else seeds[:1]:
            for window in [None] if any_time else windows:
                found = kept.find(name, seed) if kept and any_time else None
                if found is not None:
                    yield found
                    continue
                title = f"{name}, seed {seed}" + (f", {window}" if window else "")
                began = time.perf_counter()
                try:
                    model, said = recipe(
                        sources, seed=seed, report=_titled(report, title), window=window
                    )
                except TooFewError as error:
                    skipped(f"{title}: {error}")
                    continue
                seconds = time.perf_counter() - began
                made = Candidate(name, window, seed, model, round(seconds, 3))
                if kept and any_time:
                    kept.keep(made, recipe, said)
                yield made


def _titled(report: Report, title: str) -> Report:
    def titled(stage: str, done: int, total: int, loss: float | None = None) -> None:
        report(f"{title}: {stage}", done, total, loss)

    return titled


def pretrained(
    names: Sequence[str],
    recipes: Mapping[str, Recipe],
    root: Path | None = None,
    classes: Collection[str] = (),
) -> list[tuple[Candidate, registry.ModelCard]]:
    """The newest version of each model in the registry, with its card.

    Args:
        names: of the models.
        recipes: of all that can be trained.
        root: folder of the registry; the one that ships by default.
        classes: of one's own that cards may name, as `registry.load` takes them.

    Raises:
        ComparisonError: a model for one window, which no registry holds.
        UnknownModelError: the registry does not hold it.
        BrokenModelError: its files are missing, altered or unreadable.
    """
    for name in names:
        if name in recipes and not isinstance(recipes[name], AnyTimeRecipe):
            raise ComparisonError(
                f"got {name} with --pretrained; it is fitted for one window at a time, so no "
                "registry holds it; leave it out of --models, or train (without --pretrained)"
            )
    cards = [registry.read_card(name, root=root) for name in names]
    ready = []
    for card in cards:
        model = registry.load(card.name, card.version, root, classes)
        ready.append((Candidate(card.name, None, None, model, None), card))
    return ready


class _Measured(NamedTuple):
    seed: int | None
    seconds: float | None
    forecast_seconds: float
    figures: dict[str, float | int]
    squared: NDArray[np.float64]


class Comparison:
    """Measures candidates as they come and sums them up, so that none has to be kept.

    Attributes:
        chosen: eligible test cascades of each window.
    """

    def __init__(
        self,
        cascades: Sequence[Cascade],
        end: float,
        windows: Sequence[Window],
        prequential: bool = False,
    ) -> None:
        """Args:
        cascades: to test on.
        end: unix seconds at which their recording ends.
        windows: to test in.
        prequential: whether outcomes correct the forecasts that come after them.
        """
        self._prequential = prequential
        self.chosen = {window: eligible(cascades, window, end) for window in windows}
        self._measured: dict[tuple[Window, str], list[_Measured]] = {}

    def add(self, candidate: Candidate) -> dict[Window, float]:
        """Measures a candidate in its window, or in all of them; returns its MSLE in each."""
        errors: dict[Window, float] = {}
        for window, cascades in self.chosen.items():
            if not cascades or candidate.window not in (None, window):
                continue
            realised = labels(cascades, window)
            # Compiled functions are compiled before the time is taken.
            forecast_window(candidate.model, cascades[:1], window)
            began = time.perf_counter()
            forecast = forecast_window(candidate.model, cascades, window)
            took = time.perf_counter() - began
            if self._prequential:
                forecast = followed(forecast, cascades, realised, window)
            squared = (forecast.log_mean[:, 0] - np.log2(1 + realised)) ** 2
            errors[window] = float(squared.mean())
            self._measured.setdefault((window, candidate.name), []).append(
                _Measured(
                    candidate.seed, candidate.seconds, took, measure(forecast, realised), squared
                )
            )
        return errors

    def results(self) -> list[Result]:
        """What was measured, window by window, in the order in which the models came."""
        return [
            _summed(name, window, measured)
            for chosen in self.chosen
            for (window, name), measured in self._measured.items()
            if window == chosen
        ]


def _summed(name: str, window: Window, measured: Sequence[_Measured]) -> Result:
    def mean(key: str) -> float:
        return float(np.mean([one.figures[key] for one in measured]))

    def deviation(key: str) -> float:
        figures = [one.figures[key] for one in measured]
        return float(np.std(figures, ddof=1)) if len(figures) > 1 else 0.0

    seconds = [one.seconds for one in measured if one.seconds is not None]
    return Result(
        model=name,
        observe=window.observed,
        horizon=window.horizon,
        n=int(measured[0].figures["n"]),
        msle=mean("msle"),
        mape=mean("mape"),
        msle_sd=deviation("msle"),
        mape_sd=deviation("mape"),
        msle_interval=_interval(np.mean([one.squared for one in measured], axis=0)),
        coverage_90=mean("coverage_90"),
        pinball=mean("pinball"),
        expected_ratio=mean("expected_ratio"),
        seconds=float(np.mean(seconds)) if seconds else None,
        forecast_seconds=float(np.mean([one.forecast_seconds for one in measured])),
        seeds=[
            {"seed": one.seed, "seconds": one.seconds, "forecast_seconds": one.forecast_seconds}
            | one.figures
            for one in measured
        ],
    )


def _interval(squared: NDArray[np.float64]) -> tuple[float, float]:
    """95 % interval of the mean, from resamples of the cascades."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(squared), (RESAMPLES, len(squared)))
    low, high = np.quantile(squared[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)
