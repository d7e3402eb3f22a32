"""From the raw quantiles of a model to a forecast: put in order, kept growing, and their means.

Between the levels the quantile function of log2(1 + increment) is taken to be linear, outside them
it goes on at the slope of its neighbouring piece, as in `Increments.probability_of`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.interface import LEVELS, Increments

MEDIAN = len(LEVELS) // 2
# Share of the distribution that lies between one point of `_points` and the next.
_SHARES = np.diff(np.concatenate([[0.0], LEVELS, [1.0]]))


def settle(
    quantiles: NDArray[np.float64],
    log_mean: NDArray[np.float64],
    ages: NDArray[np.float64],
    horizons: NDArray[np.float64],
) -> Increments:
    """The forecast that raw answers amount to.

    Quantiles are sorted; what is below 0 becomes 0; nothing falls as the horizon moves out; where
    a horizon is not after the snapshot all is 0. The expected increment is the mean of the
    distribution that the quantiles draw.

    Args:
        quantiles: of log2(1 + increment) at `LEVELS`, shape (snapshots, horizons, levels).
        log_mean: mean of log2(1 + increment), shape (snapshots, horizons).
        ages: seconds, shape (snapshots,).
        horizons: seconds, ascending along the last axis, shape (horizons,) or (snapshots,
            horizons).
    """
    ordered = growing(np.sort(np.maximum(quantiles, 0.0), axis=-1), ages, horizons)
    return Increments(
        quantiles=ordered,
        expected=np.where(horizons > ages[:, None], expected_increment(ordered), 0.0),
        log_mean=growing(np.maximum(log_mean, 0.0), ages, horizons),
    )


def growing(
    values: NDArray[np.float64], ages: NDArray[np.float64], horizons: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Values that do not fall as the horizon moves out, and are 0 where it is not ahead.

    Args:
        values: at least 0, shape (snapshots, horizons, ...).
        ages, horizons: as for `settle`.
    """
    ahead = horizons > ages[:, None]
    ahead = ahead.reshape(ahead.shape + (1,) * (values.ndim - 2))
    return np.maximum.accumulate(np.where(ahead, values, 0.0), axis=1)


def stretch(quantiles: NDArray[np.float64], stretches: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles with their distance to the median scaled; both have the levels last."""
    median = quantiles[..., MEDIAN, None]
    return np.asarray(median + stretches * (quantiles - median))


def _points(quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ends of the pieces that the quantile function is made of, shape (..., levels + 2)."""
    step = LEVELS[1] - LEVELS[0]
    first, second = quantiles[..., :1], quantiles[..., 1:2]
    last, before = quantiles[..., -1:], quantiles[..., -2:-1]
    lowest = np.maximum(first - (second - first) * LEVELS[0] / step, 0.0)
    highest = last + (last - before) * LEVELS[0] / step
    return np.concatenate([lowest, quantiles, highest], axis=-1)


def expected_increment(quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean increment of the distribution that the quantiles draw: integrals of 2^x over pieces.

    Args:
        quantiles: at `LEVELS`, shape (..., levels), ascending.

    Returns:
        shape (...), at least 0.
    """
    points = _points(quantiles) * np.log(2)
    rise = np.diff(points, axis=-1)
    # The mean of exp over a straight piece is exp(start) (exp(rise) - 1) / rise.
    flat = rise < 1e-9
    mean = np.exp(points[..., :-1]) * np.where(
        flat, 1.0, np.expm1(rise) / np.where(flat, 1.0, rise)
    )
    return np.asarray(np.maximum((_SHARES * mean).sum(axis=-1) - 1, 0.0))
