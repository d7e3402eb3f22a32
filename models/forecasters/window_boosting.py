"""Gradient boosting for one window alone: what a model for any time gives up, or gains.

LightGBM on the hand features of the cascades as they are at the window's age: the mean of
log2(1 + increment) by least squares, and a model for each quantile. The validation part stops
them. It is the reference that the literature's tables have, and is not served.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from models.cascades.batch import Batch
from models.cascades.features import features, features_of
from models.cascades.recordings import Source
from models.cascades.windows import Window
from models.data.datasets import snapshot_at
from models.forecasters.baselines import Examples, WindowForecaster, examples
from models.forecasters.boosting_training import reporter
from models.interface import LEVELS
from models.learning.recipes import Report, silent

ROUNDS = 2_000
PATIENCE = 60
PARAMETERS = {
    "learning_rate": 0.03,
    "num_leaves": 15,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


class WindowBoosting(WindowForecaster):
    """The trained models of one window.

    Attributes:
        mean: of log2(1 + increment).
        quantiles: one for each of `LEVELS`.
    """

    name = "window-boosting"

    def __init__(
        self, window: Window, mean: lightgbm.Booster, quantiles: Sequence[lightgbm.Booster]
    ) -> None:
        super().__init__(window)
        self.mean = mean
        self.quantiles = list(quantiles)

    def answer(self, batch: Batch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What the trees say for the one window."""
        if not len(batch.ages):
            return np.empty((0, len(LEVELS))), np.empty(0)
        rows = features_of(batch, np.full((len(batch.ages), 1), self.window.horizon))[:, 0]
        quantiles = np.stack([model.predict(rows) for model in self.quantiles], axis=-1)
        return quantiles, np.asarray(self.mean.predict(rows))


def train(
    sources: Sequence[Source], *, window: Window, seed: int, report: Report = silent
) -> tuple[WindowBoosting, dict[str, Any]]:
    """The recipe.

    Args:
        sources: the training parts grow the trees, the validation parts stop them.
        window: that the model is for.
        seed: of the samples of features and rows.
        report: is told of each tree.

    Raises:
        TooFewError: too few cascades to learn from.
    """
    grown = _dataset(examples(sources, "train", window), window)
    held = _dataset(examples(sources, "validation", window), window, grown)
    objectives: dict[str, dict[str, Any]] = {"mean": {"objective": "regression"}}
    for level in LEVELS:
        objectives[f"quantile {level:g}"] = {"objective": "quantile", "alpha": float(level)}
    models = []
    for name, objective in objectives.items():
        models.append(
            lightgbm.train(
                PARAMETERS | objective | {"seed": seed},
                grown,
                ROUNDS,
                valid_sets=[held],
                callbacks=[
                    lightgbm.early_stopping(PATIENCE, verbose=False),
                    reporter(report, name, ROUNDS),
                ],
            )
        )
    trees = [model.best_iteration for model in models]
    return WindowBoosting(window, models[0], models[1:]), {"window": list(window), "trees": trees}


def _dataset(
    known: Examples, window: Window, reference: lightgbm.Dataset | None = None
) -> lightgbm.Dataset:
    snapshots = [snapshot_at(cascade, window.observed) for cascade in known.cascades]
    rows = features(snapshots, np.array([window.horizon]))[:, 0]
    return lightgbm.Dataset(
        rows, known.targets, weight=known.weights, reference=reference, free_raw_data=False
    )
