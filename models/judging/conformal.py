"""Corrections by what came of earlier forecasts: of the point, and of each end of the interval.

All are in log2(1 + increment). The world drifts away from what a model has learnt, or is another
one from the start, long before anyone trains it anew. The shift follows the mean error of the
model's own points, over the latest of them and a prior of none:

    shift += (realised - own point - shift) / (PRIOR + min(scores, MEMORY))

It moves the point and all quantiles. Then each end follows the level that it promises, by adaptive
conformal correction after Gibbs and Candès (2021, equation 2): an end that was missed moves out,
one that held moves in a little, so that in the long run it is missed as often as it says, however
the data drift. As in Angelopoulos, Candès and Tibshirani (2023, "quantile tracking"), it is not the
level that moves but the end itself:

    correction += STEP (missed - LEVEL)

Each end has a correction of its own, since a drift seldom goes both ways. The outcomes of a long
horizon come late, when forecasts with an old correction have been out for a while. So what counts
is not how the forecast erred as it was made, but how the model's own with the correction as it is
now would have: else one drift would be corrected many times over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.forecasters.quantiles import MEDIAN
from models.interface import Increments

LEVEL = 0.05  # how often each end of the 90 % interval may be missed
STEP = 0.05
# Scores that the shift is held at none by, and those that it is a mean of in the long run.
PRIOR = 50
MEMORY = 200
# Corrections stay within these. An end that is never missed would move in for ever, and be far off
# when it is needed again.
NARROWEST = -1.0
WIDEST = 8.0
COVERED = 500  # scores over which a coverage is averaged
# A quantile that is a whole number of events shall hold it, however it was rounded.
ROUNDING = 1e-9

# Lower edges in seconds of the buckets by age of the snapshot, and their names.
AGE_EDGES: NDArray[np.float64] = np.array([900.0, 3_600.0, 14_400.0, 86_400.0])
AGE_BUCKETS = ("under 15m", "15m to 1h", "1h to 4h", "4h to 24h", "from 24h")


def age_bucket(age: float) -> str:
    """The name of the bucket that an age in seconds lies in."""
    return AGE_BUCKETS[int(np.searchsorted(AGE_EDGES, age, side="right"))]


@dataclass
class Tracked:
    """The corrections of one model, horizon and age bucket, and how its intervals have done.

    Attributes:
        lower, upper: by how much the ends are moved outwards once they are shifted.
        coverage: of the intervals as they were forecast, lately.
        own_coverage: of the model's own, lately.
        sample_size: scores counted.
        shift: of the point and all quantiles.
    """

    lower: float = 0.0
    upper: float = 0.0
    coverage: float = 0.0
    own_coverage: float = 0.0
    sample_size: int = 0
    shift: float = 0.0

    def update(
        self, realised: float, own_point: float, own_low: float, own_high: float, inside: bool
    ) -> None:
        """Takes in what came of a forecast.

        Args:
            realised: log2(1 + increment).
            own_point, own_low, own_high: the model's own point and interval, likewise.
            inside: whether the interval as it was forecast held it.
        """
        below = realised < max(own_low + self.shift - self.lower, 0.0) - ROUNDING
        above = realised > max(own_high + self.shift, 0.0) + self.upper + ROUNDING
        self.lower = _bounded(self.lower + STEP * (below - LEVEL))
        self.upper = _bounded(self.upper + STEP * (above - LEVEL))
        self.sample_size += 1
        error = realised - own_point - self.shift
        moved = self.shift + error / (PRIOR + min(self.sample_size, MEMORY))
        self.shift = min(max(moved, -WIDEST), WIDEST)
        share = 1 / min(self.sample_size, COVERED)
        own = own_low - ROUNDING <= realised <= own_high + ROUNDING
        self.coverage += share * (inside - self.coverage)
        self.own_coverage += share * (own - self.own_coverage)


def _bounded(correction: float) -> float:
    return min(max(correction, NARROWEST), WIDEST)


def corrected(
    own: Increments,
    shift: NDArray[np.float64],
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
) -> Increments:
    """What a model answers, with its point shifted and its quantiles corrected as by `correct`.

    The expected increment follows the shift: an end that has moved says nothing of it.

    Args:
        own: as the model answers.
        shift, lower, upper: shape of `own.log_mean`, or one that broadcasts to it.
    """
    return Increments(
        quantiles=correct(own.quantiles, shift, lower, upper),
        expected=np.maximum((1 + own.expected) * np.exp2(shift) - 1, 0.0),
        log_mean=np.maximum(own.log_mean + shift, 0.0),
    )


def correct(
    quantiles: NDArray[np.float64],
    shift: NDArray[np.float64],
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Quantiles that are shifted, and whose ends are then moved outwards; in order, at least 0.

    An end that is moved in stops at the median, and takes with it what it passes.

    Args:
        quantiles: of log2(1 + increment), levels last, ascending, shape (..., levels).
        shift, lower, upper: shape (...).
    """
    shifted = np.maximum(quantiles + shift[..., None], 0.0)
    median = shifted[..., MEDIAN]
    low = np.maximum(np.minimum(shifted[..., 0] - lower, median), 0.0)
    high = np.maximum(shifted[..., -1] + upper, median)
    corrected = np.clip(shifted, low[..., None], high[..., None])
    corrected[..., 0], corrected[..., -1] = low, high
    return np.asarray(corrected)
