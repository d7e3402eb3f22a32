"""Small traces of requests for the tests of caches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.caches.workload import Workload
from models.data.datasets import RequestTrace


def trace_of(
    codes: Sequence[int] | np.ndarray,
    timestamps: Sequence[float] | np.ndarray | None = None,
    sizes: dict[int, int] | None = None,
) -> RequestTrace:
    """Requests for the objects `o<code>`, one a second unless it is said otherwise."""
    known: dict[int, int] = {}
    objects = [known.setdefault(int(code), len(known)) for code in codes]
    times = np.arange(len(objects)) if timestamps is None else timestamps
    return RequestTrace(
        timestamps=np.asarray(times, np.float64),
        objects=np.array(objects, np.int32),
        object_ids=[f"o{code}" for code in known],
        clients=np.zeros(len(objects), np.int32),
        client_ids=[""],
        sizes=None if sizes is None else np.array([sizes[code] for code in known], np.int64),
    )


def workload_of(
    codes: Sequence[int] | np.ndarray,
    sizes: dict[int, int] | None = None,
    objective: str = "hits",
    window: float = 60.0,
) -> Workload:
    """The same as a workload; in bytes where sizes are given."""
    from models.caches.workload import workload

    return workload(trace_of(codes, sizes=sizes), None, objective, window)


def drifting(requests: int, objects: int, seed: int = 0) -> np.ndarray:
    """Codes of Zipf-like popularity whose ranking turns over as the trace goes on."""
    generator = np.random.default_rng(seed)
    chance = 1 / np.arange(1, objects + 1) ** 0.9
    ranks = generator.choice(objects, requests, p=chance / chance.sum())
    return (ranks + np.arange(requests) * objects // (4 * requests)) % objects
