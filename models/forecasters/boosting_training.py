"""Training of the boosting: rows from observations, trees, what corrects them, and trees again.

Trees are grown on the training part and stopped by the validation part, on which their shift and
stretches are then set. Trees of the same number are grown anew on both parts: what is latest tells
most of what comes next. Later cascades also weigh more, by their rank in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import lightgbm
import msgspec
import numpy as np
from numpy.typing import NDArray

from models.cascades.features import HORIZON_NAMES, NAMES, features_of
from models.cascades.observations import Observations, observe
from models.cascades.recordings import Source
from models.data.datasets import Cascade
from models.forecasters.boosting import Boosting
from models.forecasters.calibration import calibrate, held_out
from models.interface import LEVELS
from models.kernels.trees import MAX_LEAVES
from models.learning.recipes import Report, Trained, silent

# The mean is what models are compared by: it learns at a lower rate by trees of twice the leaves,
# which the validation part liked. The quantiles would cost five times as much for little.
MEAN_RATE = 0.4
MEAN_LEAVES = 2
# Rounds without a better validation loss after which no more trees are grown.
PATIENCE = 50


MEAN = "mean"
# Of the models: one a quantile, and the mean.
OBJECTIVES: dict[str, dict[str, Any]] = {
    f"quantile {level:g}": {"objective": "quantile", "alpha": float(level)} for level in LEVELS
} | {MEAN: {"objective": "regression"}}


class Rows(NamedTuple):
    """One row for each observation and horizon.

    Attributes:
        features: shape (rows, features).
        targets: log2(1 + increment), shape (rows,).
        weights: shape (rows,), summing to 1.
    """

    features: NDArray[np.float64]
    targets: NDArray[np.float64]
    weights: NDArray[np.float64]


def rows_of(observations: Iterable[Observations], recency: float = 0.0) -> Rows:
    """The rows of one source.

    Args:
        observations: of it.
        recency: the latest cascade counts exp(recency) times as much as the earliest, those
            between by their rank in order of publication.
    """
    features, targets, weights, published = [], [], [], []
    for chunk in observations:
        rows = features_of(chunk.batch, chunk.horizons)
        features.append(rows.reshape(-1, rows.shape[-1]))
        targets.append(np.log2(1 + chunk.increments).ravel())
        each = chunk.horizons.shape[1]
        weights.append(np.repeat(chunk.weights, each))
        published.append(np.repeat(chunk.batch.published_at, each))
    times, rank = np.unique(np.concatenate(published), return_inverse=True)
    weight = np.concatenate(weights) * np.exp(recency * rank / max(len(times) - 1, 1))
    return Rows(np.concatenate(features), np.concatenate(targets), weight / weight.sum())


def pool(sources: Sequence[Rows], shares: Sequence[float]) -> Rows:
    """Several sources as one, each with its share of the weight."""
    total = sum(shares)
    return Rows(
        np.concatenate([rows.features for rows in sources]),
        np.concatenate([rows.targets for rows in sources]),
        np.concatenate(
            [rows.weights * share / total for rows, share in zip(sources, shares, strict=True)]
        ),
    )


def train(
    sources: Sequence[Source],
    *,
    seed: int,
    report: Report = silent,
    ages: int = 14,
    horizons: int = 4,
    rounds: int = 500,
    leaves: int = 31,
    learning_rate: float = 0.08,
    recency: float = 1.0,
    threads: int = 1,
) -> Trained:
    """The recipe.

    Args:
        sources: to learn from; their validation parts stop the trees and correct them.
        seed: of what is drawn.
        report: is told of each tree.
        ages: drawn a cascade, beside those of its growth.
        horizons: drawn an observation.
        rounds: trees a model at most.
        leaves: of a tree of the quantiles; the mean's have `MEAN_LEAVES` times as many.
        learning_rate: of the quantiles' boosting; the mean's is `MEAN_RATE` of it.
        recency: the latest training cascade counts exp(recency) times the earliest.
        threads: of LightGBM.
    """
    rng = np.random.default_rng(seed)
    shares = [source.share for source in sources]

    def rows(parts: Callable[[Source], Sequence[Cascade]], recency: float) -> Rows:
        return pool(
            [
                rows_of(observe(parts(source), source.end, rng, ages, horizons), recency)
                for source in sources
            ],
            shares,
        )

    report("observing", 0, 3)
    grown = rows(lambda source: source.train, recency)
    report("observing", 1, 3)
    held = rows(lambda source: source.validation, 0.0)
    report("observing", 2, 3)
    whole = rows(lambda source: [*source.train, *source.validation], recency)
    report("observing", 3, 3)
    grower = Grower(
        rounds=rounds, leaves=leaves, learning_rate=learning_rate, seed=seed, threads=threads
    )
    trained = fit(grown, held, whole, held_out(sources), grower, report)
    told = {
        "ages": ages,
        "horizons": horizons,
        "rounds": rounds,
        "leaves": leaves,
        "learning_rate": learning_rate,
        "recency": recency,
        "rows": {"train": len(grown.targets), "validation": len(held.targets)},
    }
    return trained._replace(found=told | trained.found)


class Grower(NamedTuple):
    """How trees are grown; see `train`."""

    rounds: int = 500
    leaves: int = 31
    learning_rate: float = 0.08
    seed: int = 0
    threads: int = 1

    def parameters(self, name: str) -> dict[str, Any]:
        """For LightGBM, of one of the `OBJECTIVES`."""
        mean = name == MEAN
        return OBJECTIVES[name] | {
            "num_leaves": min(self.leaves * (MEAN_LEAVES if mean else 1), MAX_LEAVES),
            "learning_rate": self.learning_rate * (MEAN_RATE if mean else 1),
            "min_data_in_leaf": 100,
            "feature_fraction": 0.5,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "seed": self.seed,
            "num_threads": self.threads,
            "deterministic": True,
            "force_row_wise": True,
            "verbose": -1,
        }


def fit(
    training: Rows,
    validation: Rows,
    whole: Rows,
    held: Sequence[Observations],
    grower: Grower,
    report: Report = silent,
) -> Trained:
    """Grows the models, corrects them, and grows them anew.

    Args:
        training: what the first trees are grown on.
        validation: what stops them.
        whole: of both parts, what the trees are grown on that the model has.
        held: of the validation part, what calibrates it.
        grower: how; the same and the same rows give the same trees.
        report: is told of each tree.
    """
    grown, stopping = _dataset(training), _dataset(validation)
    stopping.set_reference(grown)
    first = []
    for name in OBJECTIVES:
        callbacks = [
            lightgbm.early_stopping(PATIENCE, verbose=False),
            reporter(report, name, grower.rounds),
        ]
        first.append(
            lightgbm.train(
                grower.parameters(name),
                grown,
                grower.rounds,
                valid_sets=[stopping],
                callbacks=callbacks,
            )
        )
    trees = [booster.best_iteration for booster in first]
    rehearsal = Boosting.of_texts(_texts(first))
    rehearsal.calibration = calibrate(rehearsal, held)
    everything = _dataset(whole)
    again = []
    for name, number in zip(OBJECTIVES, trees, strict=True):
        again.append(
            lightgbm.train(
                grower.parameters(name),
                everything,
                number,
                callbacks=[reporter(report, f"{name} again", number)],
            )
        )
    model = Boosting.of_texts(_texts(again), rehearsal.calibration)
    found = {"trees": trees, "calibration": msgspec.to_builtins(model.calibration)}
    return Trained(model, found, rehearsal)


def _texts(boosters: Sequence[lightgbm.Booster]) -> list[str]:
    return [booster.model_to_string() for booster in boosters]


def _dataset(rows: Rows) -> lightgbm.Dataset:
    """LightGBM wants weights about 1: its limits on a leaf count them."""
    return lightgbm.Dataset(
        rows.features,
        rows.targets,
        weight=rows.weights * len(rows.weights),
        feature_name=[*NAMES, *HORIZON_NAMES],
        free_raw_data=False,
    )


def reporter(report: Report, stage: str, rounds: int) -> Callable[[Any], None]:
    """A callback of LightGBM's that reports each tree, with the validation loss if there is one."""

    def after_each(environment: Any) -> None:
        results = environment.evaluation_result_list
        report(stage, environment.iteration + 1, rounds, results[-1][2] if results else None)

    return after_each
