"""Windows: observed until one age, forecast at another, and the cascades that are fit for one.

Those at which any-time models are compared are those of the literature: half an hour or an hour
observed and a day forecast, a day observed and 15 forecast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.data.datasets import Cascade, count_at, increment

HOUR = 3_600.0
DAY = 86_400.0
MIN_EVENTS = 10


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
