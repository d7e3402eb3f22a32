"""Metrics of forecasts, defined as the literature on cascades does, on log2(1 + increment)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


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
