"""Training of the boosting: rows from observations, trees, then stretches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import lightgbm
import numpy as np
from numpy.typing import NDArray

from models.boosting import Boosting
from models.features import HORIZON_NAMES, NAMES, features_of
from models.interface import LEVELS
from models.observations import Observations, observe
from models.quantiles import MEDIAN
from models.recipes import Report, Source, silent


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
        recency: the latest cascade counts exp(recency) times as much as the earliest.
    """
    features, targets, weights, published = [], [], [], []
    for chunk in observations:
        rows = features_of(chunk.batch, chunk.horizons)
        features.append(rows.reshape(-1, rows.shape[-1]))
        targets.append(np.log2(1 + chunk.increments).ravel())
        each = chunk.horizons.shape[1]
        weights.append(np.repeat(chunk.weights, each))
        published.append(np.repeat(chunk.batch.published_at, each))
    time = np.concatenate(published)
    elapsed = (time - time.min()) / max(np.ptp(time), 1.0)
    weight = np.concatenate(weights) * np.exp(recency * elapsed)
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
    ages: int = 24,
    horizons: int = 4,
    rounds: int = 200,
    leaves: int = 31,
    learning_rate: float = 0.08,
    recency: float = 1.0,
    threads: int = 1,
) -> tuple[Boosting, dict[str, Any]]:
    """The recipe: observes the sources, grows the trees and sets the stretches.

    Args:
        sources: the training parts grow the trees; the validation parts stop them.
        seed: of what is drawn.
        report: is told of each tree.
        ages: drawn a cascade, beside those of its growth.
        horizons: drawn an observation.
        rounds: trees a quantile at most.
        leaves: of a tree.
        learning_rate: of the boosting.
        recency: the latest training cascade counts exp(recency) times the earliest.
        threads: of LightGBM.
    """
    rng = np.random.default_rng(seed)
    grown, held = [], []
    for done, source in enumerate(sources):
        report("observing", done, len(sources))
        seen = observe(source.train, source.end, rng, ages, horizons)
        grown.append(rows_of(seen, recency))
        seen = observe(source.validation, source.end, rng, ages, horizons)
        held.append(rows_of(seen))
    report("observing", len(sources), len(sources))
    shares = [source.share for source in sources]
    told = {
        "ages": ages,
        "horizons": horizons,
        "rounds": rounds,
        "leaves": leaves,
        "learning_rate": learning_rate,
        "recency": recency,
        "rows": {
            "train": sum(len(rows.targets) for rows in grown),
            "validation": sum(len(rows.targets) for rows in held),
        },
    }
    model, found = grow(
        pool(grown, shares),
        pool(held, shares),
        seed=seed,
        rounds=rounds,
        leaves=leaves,
        learning_rate=learning_rate,
        threads=threads,
        report=report,
    )
    return model, told | found


def grow(
    training: Rows,
    validation: Rows,
    *,
    seed: int = 0,
    rounds: int = 200,
    leaves: int = 31,
    learning_rate: float = 0.08,
    threads: int = 1,
    report: Report = silent,
) -> tuple[Boosting, dict[str, Any]]:
    """Grows a model for each quantile; the validation part stops it and sets the stretches.

    Args:
        training: the only rows that the trees are grown on.
        validation: as above.
        seed: of the feature and row samples; the same seed and data give the same trees.
        rounds: trees a model at most.
        leaves: of a tree.
        learning_rate: of the boosting.
        threads: of LightGBM.
        report: is told of each tree.

    Returns:
        The forecaster, and what the training found: trees and stretch of each level.
    """
    parameters = {
        "objective": "quantile",
        "metric": "quantile",
        "num_leaves": leaves,
        "learning_rate": learning_rate,
        "min_data_in_leaf": 100,
        "feature_fraction": 0.5,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "seed": seed,
        "num_threads": threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    # LightGBM wants weights about 1: its limits on a leaf count them.
    grown = lightgbm.Dataset(
        training.features,
        training.targets,
        weight=training.weights * len(training.weights),
        feature_name=[*NAMES, *HORIZON_NAMES],
        free_raw_data=False,
    )
    held = lightgbm.Dataset(
        validation.features,
        validation.targets,
        weight=validation.weights * len(validation.weights),
        reference=grown,
        free_raw_data=False,
    )
    texts, trees = [], []
    for level in LEVELS:
        callbacks = [
            lightgbm.early_stopping(30, verbose=False),
            reporter(report, f"quantile {level:g}", rounds),
        ]
        booster = lightgbm.train(
            parameters | {"alpha": float(level)},
            grown,
            rounds,
            valid_sets=[held],
            callbacks=callbacks,
        )
        texts.append(booster.model_to_string(num_iteration=booster.best_iteration))
        trees.append(booster.best_iteration)
    raw = Boosting(texts, np.ones(len(LEVELS))).raw_quantiles(validation.features)
    stretches = conformal_stretches(raw, validation.targets, validation.weights)
    return Boosting(texts, stretches), {"trees": trees, "stretches": stretches.tolist()}


def reporter(report: Report, stage: str, rounds: int) -> Callable[[Any], None]:
    """A callback of LightGBM's: its environment's last entry is the loss on the validation part."""
    return lambda env: report(stage, env.iteration + 1, rounds, env.evaluation_result_list[-1][2])


def conformal_stretches(
    raw: NDArray[np.float64], targets: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """For each level, the least factor of its distance to the median with which it holds.

    An upper quantile holds if at least its level of the weight lies at or below it, a lower one
    if at least one minus its level lies at or above it.

    Args:
        raw: quantiles as predicted, shape (rows, levels).
        targets: shape (rows,).
        weights: shape (rows,).

    Returns:
        shape (levels,), between 0 and 4; 1 for the median.
    """
    stretches = np.ones(len(LEVELS))
    factors = np.arange(0, 4.001, 0.02)
    median = raw[:, MEDIAN]
    for index, level in enumerate(LEVELS):
        if index == MEDIAN:
            continue
        needed = level if index > MEDIAN else 1 - level
        for factor in factors:
            bound = np.maximum(median + factor * (raw[:, index] - median), 0.0)
            holds = targets <= bound if index > MEDIAN else targets >= bound
            if np.average(holds, weights=weights) >= needed:
                break
        stretches[index] = factor
    return stretches
