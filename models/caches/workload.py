"""A trace of requests as a cache is measured on it: what is asked for, what it weighs, what counts.

Objects weigh one unit each, or their bytes; then a cache's capacity is in bytes too. Where a trace
has no sizes they can be drawn: log-normal, by a hash of the identifier, so that an object has the
same size in every run and on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.caches.scorecache import Unit
from models.caches.tuned import Objective
from models.data.datasets import RequestTrace
from topics.errors import TidecastError
from topics.hashing import hash_ids

ObjectSizes = Literal["unit", "trace", "lognormal"]

# Of drawn sizes. Capacities are shares of all bytes, so only the spread matters to a hit ratio: at
# this one the largest fifteenth of the objects holds half of the bytes.
MEDIAN_BYTES = 32_768
SIGMA = 1.5
_SALT = "size of "

# Windows to choose from, seconds: those that clocks have names for.
_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0
LENGTHS = (
    _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, _HOUR, 2 * _HOUR, 6 * _HOUR, 12 * _HOUR,
    _DAY, 7 * _DAY,
)  # fmt: skip
# Few enough that rankers are asked often, and enough that a window is worth its messages.
REQUESTS_A_WINDOW = 250


class WorkloadError(TidecastError, ValueError):
    """A trace that caches cannot be measured on as was asked."""


class TooFewRequestsError(WorkloadError):
    """Requests that are too few, or in too few windows, to learn from."""


@dataclass(frozen=True, eq=False)
class Workload:
    """Requests in order of time, and what a cache is to make of them.

    Attributes:
        timestamps: of each request, float64, shape (requests,), ascending.
        objects: its object, int32, shape (requests,); objects are numbered in order of first
            request, so that those known at any moment are the first so many.
        object_ids: shape (objects,).
        sizes: bytes of each object, 1 where objects weigh alike, int64, shape (objects,).
        unit: what a capacity counts.
        objective: what a policy that can choose is to get out of the cache.
        fetch_cost: what a fetch from the origin costs beside its bytes, in the cost of a byte.
        window: seconds of the windows that rankers are stepped by.
    """

    timestamps: NDArray[np.float64]
    objects: NDArray[np.int32]
    object_ids: Sequence[str]
    sizes: NDArray[np.int64]
    unit: Unit
    objective: Objective
    fetch_cost: float
    window: float

    def __len__(self) -> int:
        return self.objects.size

    @property
    def weights(self) -> NDArray[np.int64]:
        """Bytes of each request's object, shape (requests,)."""
        return self.sizes[self.objects]

    def worths(self, objective: Objective) -> NDArray[np.float64]:
        """What it is worth to answer a request for each object, shape (objects,)."""
        if objective == "hits":
            return np.ones(self.sizes.size)
        return self.sizes.astype(np.float64) + (self.fetch_cost if objective == "cost" else 0)

    def first(self, requests: int) -> Workload:
        """The same up to a request: no object in it that is not requested by then."""
        objects = self.objects[:requests]
        known = int(objects.max()) + 1 if objects.size else 0
        return replace(
            self,
            timestamps=self.timestamps[:requests],
            objects=objects,
            object_ids=self.object_ids[:known],
            sizes=self.sizes[:known],
        )

    def capacity(self, size: float) -> int:
        """Units of a cache, at least 1: a share of all distinct objects or bytes below 1, rounded
        down; from 1 on the number of objects or bytes itself.
        """
        if size >= 1:
            return int(size)
        return max(1, int(size * int(self.sizes.sum())))


def workload(
    trace: RequestTrace,
    object_sizes: ObjectSizes | None = None,
    objective: Objective = "hits",
    window: float | None = None,
    fetch_cost: float | None = None,
) -> Workload:
    """A trace with a choice of what objects weigh.

    Args:
        trace: at least one request.
        object_sizes: `unit`: 1 each; `trace`: as the trace says, the median of those for objects
            of which it does not; `lognormal`: drawn. None: those of the trace if it has any, else
            1 each.
        objective: for policies that can choose.
        window: seconds; None: `window_for`.
        fetch_cost: in the cost of a byte; None: what the mean object's bytes cost, so that fetches
            and bytes come to the same over all objects.

    Raises:
        WorkloadError: no request, or sizes asked of a trace without any.
    """
    if not len(trace):
        raise WorkloadError("got a trace without requests; expected at least one")
    if object_sizes is None:
        object_sizes = "unit" if trace.sizes is None else "trace"
    if object_sizes == "lognormal":
        sizes = drawn_sizes(trace.object_ids)
    elif object_sizes == "unit":
        sizes = np.ones(len(trace.object_ids), np.int64)
    elif trace.sizes is None:
        raise WorkloadError(
            "got object sizes 'trace' for a trace without a column `size` that states any; "
            "expected one, or 'unit' or 'lognormal'"
        )
    else:
        stated = trace.sizes > 0
        sizes = np.where(stated, trace.sizes, np.int64(np.median(trace.sizes[stated])))
    return Workload(
        timestamps=trace.timestamps,
        objects=trace.objects,
        object_ids=trace.object_ids,
        sizes=sizes,
        unit="objects" if object_sizes == "unit" else "bytes",
        objective=objective,
        fetch_cost=float(sizes.mean()) if fetch_cost is None else fetch_cost,
        window=window_for(trace.timestamps) if window is None else window,
    )


def drawn_sizes(object_ids: Sequence[str]) -> NDArray[np.int64]:
    """Bytes drawn for each identifier, at least 1, shape (len(object_ids),).

    The quantile of the log-normal distribution with median `MEDIAN_BYTES` and sigma `SIGMA` at
    the identifier's hash, as a share of all hashes.
    """
    normal = NormalDist()
    ranks = (hash_ids([_SALT + name for name in object_ids]) >> np.uint64(11)).astype(np.float64)
    levels = (ranks + 0.5) / 2.0**53
    # The hash has 53 bits here: the lowest and highest level are above 0 and below 1.
    logs = np.array([normal.inv_cdf(min(level, 1 - 2.0**-53)) for level in levels.tolist()])
    sizes: NDArray[np.float64] = np.rint(MEDIAN_BYTES * np.exp(SIGMA * logs))
    return np.maximum(1, sizes).astype(np.int64)


def window_for(timestamps: NDArray[np.float64]) -> float:
    """The shortest of `LENGTHS` whose windows, where they have any, have 250 requests on average.

    The longest, if none has.
    """
    for length in LENGTHS:
        windows = 1 + np.count_nonzero(np.diff(np.floor_divide(timestamps, length)))
        if timestamps.size >= REQUESTS_A_WINDOW * windows:
            return length
    return LENGTHS[-1]
