"""Forecasts of recorded cascades as a stream makes them: corrected by what was known by then.

Test, then train (Dawid, 1984, "prequential"): a forecast is made when its cascade is observed, by
the outcomes of all cascades whose horizon has come before that, and becomes known itself at its
horizon. Nothing that a forecast is corrected by lies in its future.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.cascades.windows import Window
from models.data.datasets import Cascade
from models.interface import Increments
from models.judging.conformal import ROUNDING, Tracked, corrected


def followed(
    own: Increments, cascades: Sequence[Cascade], realised: NDArray[np.int64], window: Window
) -> Increments:
    """A model's forecasts in a window, corrected as `models.judging.conformal` says.

    Args:
        own: as the model answers, of a single horizon.
        cascades: that it answered for.
        realised: increments that came, shape (cascades,).
        window: that they are of; its corrections begin at none.
    """
    published = np.array([cascade.published_at for cascade in cascades])
    size = len(published)
    # Of what happens at one moment the outcomes come first.
    moments = np.concatenate([published + window.horizon, published + window.observed])
    came = np.log2(1 + realised)
    quantiles, expected, means = map(np.empty_like, (own.quantiles, own.expected, own.log_mean))
    tracked = Tracked()
    for place in np.argsort(moments, kind="stable").tolist():
        at = place % size
        if place < size:
            low, high = quantiles[at, 0, 0] - ROUNDING, quantiles[at, 0, -1] + ROUNDING
            tracked.update(
                came[at], own.log_mean[at, 0], own.quantiles[at, 0, 0], own.quantiles[at, 0, -1],
                bool(low <= came[at] <= high),
            )  # fmt: skip
            continue
        row = Increments(own.quantiles[at], own.expected[at], own.log_mean[at])
        said = corrected(row, *map(np.array, (tracked.shift, tracked.lower, tracked.upper)))
        quantiles[at], expected[at], means[at] = said.quantiles, said.expected, said.log_mean
    return Increments(quantiles, expected, means)
