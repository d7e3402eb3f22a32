"""How many threads compiled kernels take, and sequences shared out among them."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _given() -> int:
    """As many as OpenMP would take: what the environment says, or a thread a processor."""
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(told) if told.isdecimal() and int(told) else len(os.sched_getaffinity(0))


_count = _given()


def count() -> int:
    """Threads that a kernel may take."""
    return _count


def limit(most: int) -> None:
    """Sets `count`, for the whole process."""
    global _count
    _count = most


def in_threads(
    kernel: Any, offsets: NDArray[np.int64], arrays: list[Any], sums: NDArray[Any] | None = None
) -> None:
    """Runs a kernel over all sequences, in as many threads as it may take.

    Args:
        kernel: takes the first sequence, the one after the last, `offsets`, `arrays`, and what
            belongs to its thread of `sums`.
        offsets: steps of sequence i are those from `offsets[i]` to `offsets[i + 1]`.
        arrays: given to all.
        sums: a first axis of as many as there are `chunks`.
    """
    tasks = [
        (first, last, offsets, *arrays, *(() if sums is None else (sums[index],)))
        for index, (first, last) in enumerate(chunks(offsets))
    ]
    if len(tasks) == 1:
        kernel(*tasks[0])
        return
    for done in [_pool(len(tasks)).submit(kernel, *task) for task in tasks]:
        done.result()


def chunks(offsets: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ranges of sequences with about as many steps each, one for each thread."""
    threads = min(_count, len(offsets) - 1)
    if threads <= 1:
        return [(0, len(offsets) - 1)]
    shares = np.linspace(0, offsets[-1], threads + 1)[1:-1]
    bounds = [0, *np.searchsorted(offsets, shares).tolist(), len(offsets) - 1]
    return list(itertools.pairwise(bounds))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernel")
