"""Metrics of forecasts, defined as the literature on cascades does, on log2(1 + increment).

A forecast's point is its median. The windows at which any-time models are compared are those of
the literature: half an hour or an hour observed and a day forecast, a day observed and 15 forecast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.datasets import Cascade, count_at, increment, snapshot_at
from models.interface import Forecaster

HOUR = 3_600.0
DAY = 86_400.0
MIN_EVENTS = 10
# Fewer test cascades than this in a window say nothing.
MIN_CASCADES = 30


def msle(predicted: ArrayLike, realised: ArrayLike) -> float:
    """Mean of (log2(predicted + 1) - log2(realised + 1))^2 over increments, shape (n,)."""
    error = np.log2(np.add(predicted, 1)) - np.log2(np.add(realised, 1))
    return float(np.mean(error**2))


def mape(predicted: ArrayLike, realised: ArrayLike) -> float:
    """Mean of |log2(predicted + 2) - log2(realised + 2)| / log2(realised + 2), shape (n,)."""
    logarithm = np.log2(np.add(realised, 2))
    return float(np.mean(np.abs(np.log2(np.add(predicted, 2)) - logarithm) / logarithm))


def coverage(low: ArrayLike, high: ArrayLike, realised: ArrayLike) -> float:
    """Share of the realised values inside [low, high], shape (n,)."""
    realised = np.asarray(realised)
    return float(np.mean((realised >= low) & (realised <= high)))


class Window(NamedTuple):
    """Observed until one age, forecast at another, in seconds since publication."""

    observed: float
    horizon: float

    def __str__(self) -> str:
        return f"{self.observed / HOUR:g} h to {self.horizon / HOUR:g} h"


WINDOWS = (Window(HOUR / 2, DAY), Window(HOUR, DAY), Window(DAY, 15 * DAY))


def eligible(cascades: Sequence[Cascade], window: Window, end: float) -> list[Cascade]:
    """Those with `MIN_EVENTS` observed events whose horizon lies before the recording's end."""
    return [
        cascade
        for cascade in cascades
        if count_at(cascade, window.observed) >= MIN_EVENTS
        and cascade.published_at + window.horizon <= end
    ]


def labels(cascades: Sequence[Cascade], window: Window) -> NDArray[np.int64]:
    """Increments of the cascades in the window, shape (cascades,)."""
    return np.array([increment(cascade, *window) for cascade in cascades], np.int64)


def evaluate(
    model: Forecaster, cascades: Sequence[Cascade], window: Window
) -> dict[str, float | int]:
    """A model on one window: number of cascades, `msle`, `mape`, 90 % interval `coverage`, and
    `expected_ratio`, the expected increments' sum over that of those that came."""
    realised = labels(cascades, window)
    snapshots = [snapshot_at(cascade, window.observed) for cascade in cascades]
    forecast = model.forecast(snapshots, np.array([window.horizon]))
    low, *_, high = np.moveaxis(forecast.quantiles[:, 0], -1, 0)
    median = np.exp2(forecast.quantiles[:, 0, forecast.quantiles.shape[-1] // 2]) - 1
    # Rounded outwards: a quantile that is a whole number of events shall hold it.
    inside = coverage(low - 1e-9, high + 1e-9, np.log2(1 + realised))
    return {
        "cascades": len(cascades),
        "msle": round(msle(median, realised), 4),
        "mape": round(mape(median, realised), 4),
        "coverage": round(inside, 4),
        "expected_ratio": round(float(forecast.expected.sum() / max(realised.sum(), 1)), 4),
    }


def by_window(
    model: Forecaster, tests: Mapping[str, tuple[Sequence[Cascade], float]]
) -> dict[str, dict[str, dict[str, float | int]]]:
    """`evaluate` for each test set and window that has `MIN_CASCADES` cascades.

    Args:
        model: to evaluate.
        tests: cascades and end of recording of each set, by its name.
    """
    found: dict[str, dict[str, dict[str, float | int]]] = {}
    for name, (cascades, end) in tests.items():
        for window in WINDOWS:
            chosen = eligible(cascades, window, end)
            if len(chosen) >= MIN_CASCADES:
                found.setdefault(name, {})[str(window)] = evaluate(model, chosen, window)
    return found
