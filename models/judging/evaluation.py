"""How good a model's forecasts of recorded cascades are, by the window that they are made in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.cascades.windows import WINDOWS, Window, eligible, labels
from models.data.datasets import Cascade, snapshot_at
from models.interface import Forecaster, Increments
from models.judging.metrics import measure

# Fewer test cascades than this in a window say nothing.
MIN_CASCADES = 30


def forecast_window(model: Forecaster, cascades: Sequence[Cascade], window: Window) -> Increments:
    """The model's forecasts of the cascades in the window, a single horizon."""
    snapshots = [snapshot_at(cascade, window.observed) for cascade in cascades]
    return model.forecast(snapshots, np.array([window.horizon]))


def evaluate(
    model: Forecaster, cascades: Sequence[Cascade], window: Window
) -> dict[str, float | int]:
    """`measure` of the model's forecasts of the cascades in the window."""
    return measure(forecast_window(model, cascades, window), labels(cascades, window))


def by_window(
    model: Forecaster, tests: Mapping[str, tuple[Sequence[Cascade], float]]
) -> dict[str, dict[str, dict[str, float | int]]]:
    """`evaluate`, rounded, for each test set and window that has `MIN_CASCADES` cascades.

    Args:
        model: to evaluate.
        tests: cascades and end of recording of each set, by its name.
    """
    found: dict[str, dict[str, dict[str, float | int]]] = {}
    for name, (cascades, end) in tests.items():
        for window in WINDOWS:
            chosen = eligible(cascades, window, end)
            if len(chosen) >= MIN_CASCADES:
                figures = evaluate(model, chosen, window)
                found.setdefault(name, {})[str(window)] = {
                    key: round(value, 4) for key, value in figures.items()
                }
    return found
