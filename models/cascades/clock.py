"""The clock of a cascade, by which its states flow and its trends are cut.

It is s = log(1 + t / 60) for t seconds since publication: what cascades do in minutes when they are
young they do in days when they are old.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CLOCK_SECONDS = 60.0


def clock_of(seconds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The clock at times since publication; before it, 0."""
    return np.log1p(np.maximum(seconds, 0.0) / CLOCK_SECONDS).astype(np.float32)
