"""How well rankers foresee what will be asked for: MAP@K and NDCG@K, window by window.

A ranker is stepped by the windows of a trace, those that a historian closes, and asked before each
window of the test part to rank the objects that were requested until then. With r(i) the requests
of the i-th ranked object in the window that follows,

    AP@K   = 1 / min(K, objects requested) * sum over i <= K with r(i) > 0 of the share of the
             first i that was requested
    NDCG@K = DCG of the ranking / DCG of the best ranking,
             DCG = sum over i <= K of r(i) / log2(i + 1)

averaged over the windows of the test part that have requests. Among equal scores the object whose
first request came earlier is ranked first. An object that nobody asked for before cannot be ranked
but counts in the best ranking, so 1 is out of reach where there are newcomers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.caches.workload import Workload
from models.interface import Ranker
from models.learning.recipes import Report, silent
from topics.records import EdgeWindow

EDGE = "edge"
KS = (10, 100)


class RankerResult(msgspec.Struct, frozen=True):
    """A ranker at one K.

    Attributes:
        ranker: its name.
        k: objects that were ranked.
        map: mean of AP@K.
        ndcg: mean of NDCG@K.
        map_sd, ndcg_sd: standard deviation over the seeds, 0 where there is but one.
        windows: they were averaged over.
        seconds: of all steps and rankings of one seed.
    """

    ranker: str
    k: int
    map: float
    ndcg: float
    map_sd: float
    ndcg_sd: float
    windows: int
    seconds: float


class LastCountRanker(Ranker):
    """The latest window's counts: tomorrow will be as today."""

    name = "last-window"
    version = "1"

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._start: float | None = None

    def step(self, window: EdgeWindow) -> None:
        """Takes the counts of a window in the place of the former's; those of its parts add up."""
        if window.start != self._start:
            self._counts = {}
            self._start = window.start
        for name, count in zip(window.objects, window.counts().tolist(), strict=True):
            self._counts[name] = self._counts.get(name, 0) + count

    def scores(self, objects: Sequence[str]) -> NDArray[np.float64]:
        """log of the latest window's counts."""
        return _log_counts(self._counts, objects)


class TotalCountRanker(Ranker):
    """All requests so far: what was popular stays so."""

    name = "total-count"
    version = "1"

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._starts: set[float] = set()

    def step(self, window: EdgeWindow) -> None:
        """Adds the counts of a window."""
        self._starts.add(window.start)
        self._counts.update(dict(zip(window.objects, window.counts().tolist(), strict=True)))

    def scores(self, objects: Sequence[str]) -> NDArray[np.float64]:
        """log of the mean requests in the windows that had any."""
        return _log_counts(self._counts, objects) - math.log(max(1, len(self._starts)))


BASELINES: dict[str, Callable[[], Ranker]] = {
    LastCountRanker.name: LastCountRanker,
    TotalCountRanker.name: TotalCountRanker,
}


def _log_counts(counts: Mapping[str, int], objects: Sequence[str]) -> NDArray[np.float64]:
    values = np.array([counts.get(name, 0) for name in objects], np.float64)
    return np.log(values, out=np.full(values.shape, -np.inf), where=values > 0)


def windows(workload: Workload) -> Iterator[tuple[int, EdgeWindow]]:
    """The windows with requests, in order of time, each with the position of its first request."""
    numbers = np.floor_divide(workload.timestamps, workload.window).astype(np.int64)
    begins = np.flatnonzero(np.diff(numbers, prepend=numbers[:1] - 1))
    for begin, end in zip(begins, [*begins[1:], len(workload)], strict=True):
        yield int(begin), _window(workload, int(numbers[begin]), slice(begin, end))


def _window(workload: Workload, number: int, part: slice) -> EdgeWindow:
    known, first, order, counts = np.unique(
        workload.objects[part], return_index=True, return_inverse=True, return_counts=True
    )
    by_first = np.argsort(first)
    place = np.argsort(by_first)
    codes = known[by_first]
    sizes = workload.sizes[codes] if workload.unit == "bytes" else np.zeros(codes.size)
    return EdgeWindow(
        edge_id=EDGE,
        start=number * workload.window,
        length=workload.window,
        part=0,
        parts=1,
        objects=[workload.object_ids[code] for code in codes.tolist()],
        count=counts[by_first].astype("<i4").tobytes(),
        size=sizes.astype("<i8").tobytes(),
        order=place[order].astype("<i4").tobytes(),
    )


def measure(
    ranker: Ranker,
    workload: Workload,
    test: int,
    ks: Sequence[int] = KS,
    report: Report = silent,
) -> tuple[NDArray[np.float64], int]:
    """Steps a ranker through all windows and measures it on those of the test part.

    Args:
        ranker: a fresh one.
        workload: with the length of windows.
        test: position of the first request of the test part; a window belongs to it if its first
            request does.
        ks: objects to rank.
        report: is told of each window.

    Returns:
        (MAP, NDCG) at each K, shape (len(ks), 2); and the windows they were averaged over: where
        there are none, 0 and no figures, shape (0, 2).

    Raises:
        ValueError: a score that is not a number.
    """
    found = []
    known = 0
    all_windows = list(windows(workload))
    for done, (begin, window) in enumerate(all_windows):
        if begin >= test and known:
            requested = workload.objects[begin : begin + window.requests().size]
            counts = np.bincount(requested, minlength=known)
            scores = ranker.scores(workload.object_ids[:known])
            if np.isnan(scores).any():
                raise ValueError(f"ranker {ranker.name}: a score of window {done} is not a number")
            ranked = np.argsort(-scores, kind="stable")
            found.append([at_k(counts, ranked, k) for k in ks])
        ranker.step(window)
        known = max(known, 1 + int(workload.objects[begin : begin + window.requests().size].max()))
        report("ranking windows", done + 1, len(all_windows))
    if not found:
        return np.zeros((0, 2)), 0
    return np.mean(found, axis=0), len(found)


def at_k(counts: NDArray[np.int64], ranked: NDArray[np.int64], k: int) -> tuple[float, float]:
    """AP@K and NDCG@K of one ranking.

    Args:
        counts: requests of every object in the window, shape (objects,), one at least above 0.
        ranked: indices of objects, the first expected to be requested most, shape (ranked,).
        k: places that count.
    """
    gains = counts[ranked[:k]].astype(np.float64)
    places = np.arange(1, k + 1)
    asked = gains > 0
    precision = np.cumsum(asked) / places[: gains.size]
    average = float(precision[asked].sum()) / min(k, int(np.count_nonzero(counts)))
    best = np.sort(counts)[::-1][:k]
    discounts = 1 / np.log2(places + 1)
    return average, float(gains @ discounts[: gains.size] / (best @ discounts[: best.size]))
