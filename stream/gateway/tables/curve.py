"""The growth curve of a cascade: how many events there were at each age."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.gateway.tables.views import CurvePoint
from topics.records import BIN_EDGES


def growth_curve(
    delays: NDArray[np.float32], rest: NDArray[np.int32], age: float, count: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Ages, ascending, and the number of events by then.

    Args:
        delays: seconds since publication of the events kept exactly, ascending, shape (N,).
        rest: counts of the others by delay, shape (len(BIN_EDGES) + 1,), or (0,) if there are
            none; a bin's events are put at its upper edge.
        age: of the snapshot; the curve ends there.
        count: of all events by then.

    Returns:
        two arrays of equal length; the last point is (age, count).
    """
    ages = delays.astype(np.float64)
    counts = np.arange(1, len(ages) + 1, dtype=np.int64)
    if rest.size and rest.any():
        # The bin that is open at its end, and any that reaches past the age, end with the curve.
        edges = np.minimum(np.append(BIN_EDGES, np.inf), age)
        filled = rest > 0
        at = np.concatenate([ages, edges[filled]])
        steps = np.concatenate([np.ones(len(ages), np.int64), rest[filled].astype(np.int64)])
        order = np.argsort(at, kind="stable")
        ages, counts = at[order], np.cumsum(steps[order])
    return np.append(ages, age), np.append(counts, count)


def thinned(ages: NDArray[np.float64], counts: NDArray[np.int64], limit: int) -> list[CurvePoint]:
    """At most `limit` of the points, the first and the last among them."""
    if len(ages) > limit:
        kept = np.unique(np.linspace(0, len(ages) - 1, limit).round().astype(np.intp))
        ages, counts = ages[kept], counts[kept]
    return [CurvePoint(round(a, 3), c) for a, c in zip(ages.tolist(), counts.tolist(), strict=True)]
