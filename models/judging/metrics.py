"""Metrics of forecasts, defined as the literature on cascades does, on log2(1 + increment).

A forecast's point is 2^`log_mean` - 1, which the squared logarithmic error asks for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.interface import LEVELS, Increments


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


def pinball(quantiles: NDArray[np.float64], realised: ArrayLike) -> float:
    """Mean over cascades and `LEVELS` of the quantile loss of log2(1 + increment).

    Args:
        quantiles: of log2(1 + increment), shape (n, levels).
        realised: increments, shape (n,).
    """
    above = np.log2(np.add(realised, 1))[:, None] - quantiles
    return float(np.mean(np.maximum(LEVELS * above, (LEVELS - 1) * above)))


def measure(forecast: Increments, realised: NDArray[np.int64]) -> dict[str, float | int]:
    """How good forecasts at one horizon were.

    Args:
        forecast: of a single horizon.
        realised: increments that came, shape (snapshots,).

    Returns:
        `n` cascades, `msle` and `mape` of the point, `coverage_90` of the interval from the first
        to the last quantile, `pinball`, and `expected_ratio`, the sum of the expected increments
        over that of those that came.
    """
    quantiles = forecast.quantiles[:, 0]
    point = np.exp2(forecast.log_mean[:, 0]) - 1
    # Rounded outwards: a quantile that is a whole number of events shall hold it.
    low, high = quantiles[:, 0] - 1e-9, quantiles[:, -1] + 1e-9
    return {
        "n": len(realised),
        "msle": msle(point, realised),
        "mape": mape(point, realised),
        "coverage_90": coverage(low, high, np.log2(1 + realised)),
        "pinball": pinball(quantiles, realised),
        "expected_ratio": float(forecast.expected.sum() / max(realised.sum(), 1)),
    }
