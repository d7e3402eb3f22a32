"""How good the forecasts are: error and interval coverage on cascades no model was trained on.

    python benchmarks/forecast_quality.py ../shared/data/cascades/{weibo_ced,twitter1516}.txt.xz

Each file is split by publish time, 70 / 15 / 15; only the latest part is tested on. Cascades with
at least 10 observed events count. Per window:

    mean            of log2(1 + increment) in the training part
    log-linear      on the log of the observed count (Szabo and Huberman, 2010)
    window boosting LightGBM on our features, trained for this file and window alone (mean over
                    seeds): what an any-time model gives up, or gains, by serving all windows
    seismic         the version in the registry, any time
    boosting        the version in the registry, any time

MSLE and MAPE are those of the median (of the mean in log2, for the first three); coverage is that
of the 90 % interval, for the first two from the residuals of the training part.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import lightgbm
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from models import registry
from models.datasets import Cascade, Split, count_at, read_cascades, snapshot_at
from models.datasets import split_chronologically as split
from models.evaluation import (
    MIN_CASCADES,
    WINDOWS,
    Window,
    coverage,
    eligible,
    evaluate,
    labels,
    mape,
    msle,
)
from models.features import features
from models.observations import end_of

Figures = dict[str, float | int]


def figures(predicted: NDArray[np.float64], realised: NDArray[np.int64]) -> Figures:
    """Error of predictions of log2(1 + increment)."""
    points = np.exp2(np.maximum(predicted, 0)) - 1
    return {"msle": round(msle(points, realised), 4), "mape": round(mape(points, realised), 4)}


def linear(
    training: Sequence[Cascade], test: Sequence[Cascade], window: Window, degree: int
) -> Figures:
    """A polynomial in the log of the observed count: 0 the mean, 1 log-linear."""

    def log_counts(cascades: Sequence[Cascade]) -> NDArray[np.float64]:
        return np.log2([count_at(cascade, window.observed) for cascade in cascades])

    targets = np.log2(1 + labels(training, window))
    fitted = np.polyfit(log_counts(training), targets, degree)
    low, high = np.quantile(targets - np.polyval(fitted, log_counts(training)), [0.05, 0.95])
    predicted = np.polyval(fitted, log_counts(test))
    realised = labels(test, window)
    inside = coverage(predicted + low, predicted + high, np.log2(1 + realised))
    return figures(predicted, realised) | {"coverage": round(inside, 4)}


def window_boosting(
    training: Sequence[Cascade],
    validation: Sequence[Cascade],
    test: Sequence[Cascade],
    window: Window,
    seeds: int,
) -> Figures:
    """LightGBM for one file and window; the validation part stops it."""

    def rows(cascades: Sequence[Cascade]) -> NDArray[np.float64]:
        snapshots = [snapshot_at(cascade, window.observed) for cascade in cascades]
        return features(snapshots, np.array([window.horizon]))[:, 0]

    grown = lightgbm.Dataset(rows(training), np.log2(1 + labels(training, window)))
    held = lightgbm.Dataset(rows(validation), np.log2(1 + labels(validation, window)))
    found = []
    for seed in range(seeds):
        parameters = {
            "objective": "regression",
            "learning_rate": 0.03,
            "num_leaves": 15,
            "feature_fraction": 0.5,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "seed": seed,
            "num_threads": 1,
            "verbose": -1,
        }
        model = lightgbm.train(
            parameters,
            grown,
            2_000,
            valid_sets=[held],
            callbacks=[lightgbm.early_stopping(60, verbose=False)],
        )
        found.append(figures(model.predict(rows(test)), labels(test, window)))
    errors: Figures = {
        name: round(float(np.mean([one[name] for one in found])), 4) for name in ("msle", "mape")
    }
    spread = float(np.std([one["msle"] for one in found]))
    return errors | {"msle_deviation": round(spread, 4)}


def compare(parts: Split, end: float, window: Window, seeds: int) -> dict[str, Figures]:
    """Every model on one file and window; empty where the test part is too small to tell."""
    training, validation, test = (eligible(part, window, end) for part in parts)
    if len(test) < MIN_CASCADES:
        return {}
    found = {
        "mean": linear(training, test, window, 0),
        "log-linear": linear(training, test, window, 1),
        "window boosting": window_boosting(training, validation, test, window, seeds),
    }
    for name in ("seismic", "boosting"):
        found[name] = evaluate(registry.load(name), test, window)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Error and interval coverage of forecasts.")
    parser.add_argument("cascades", type=Path, nargs="+", help="files of recorded cascades")
    parser.add_argument("--seeds", type=int, default=3, help="of the window boosting")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    results: dict[str, dict[str, dict[str, Figures]]] = {}
    table = Table(box=None)
    for column in ("file", "window", "tested", "model"):
        table.add_column(column)
    for column in ("MSLE", "MAPE", "coverage"):
        table.add_column(column, justify="right")
    for path in options.cascades:
        read = list(read_cascades(path))
        for window in WINDOWS:
            found = compare(split(read), end_of(read), window, options.seeds)
            if not found:
                continue
            results.setdefault(path.name, {})[str(window)] = found
            first = [path.name.split(".")[0], str(window), str(found["boosting"]["cascades"])]
            for name, one in found.items():
                inside = f"{one['coverage']:.3f}" if "coverage" in one else ""
                table.add_row(*first, name, f"{one['msle']:.3f}", f"{one['mape']:.3f}", inside)
                first = ["", "", ""]
    Console(width=100).print(table)
    text = json.dumps(results, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
