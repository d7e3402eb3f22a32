"""Policies side by side on one trace: hit ratios of caches of several sizes, and how rankers rank.

    comparison = CacheComparison(workload, sizes, warmup=0.5, seeds=range(3))
    for policy in cache_policies.named(None):
        comparison.add(policy)
    comparison.results, comparison.rankers

Each cache begins empty and is replayed through the whole trace; the requests of the warm-up part
fill it and count no hits. Policies that learn do so from the warm-up part alone, once a seed for
all sizes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.caches.classical import TooSmallError
from models.caches.tuned import Objective
from models.caches.workload import TooFewRequestsError, Workload, WorkloadError
from models.interface import Ranker
from models.judging import ranking
from models.judging.cache_policies import Policy, TrainedPolicy
from models.judging.ranking import RankerResult
from models.learning.recipes import Report, silent

# The ratios that are reported, and the objective that each is the measure of.
RATIOS: dict[str, Objective] = {
    "hit_ratio": "hits",
    "byte_hit_ratio": "bytes",
    "cost_hit_ratio": "cost",
}


class CacheResult(msgspec.Struct, frozen=True):
    """A policy in caches of one size: means over its seeds.

    Attributes:
        policy: its name.
        size: as it was asked for.
        capacity: objects or bytes.
        hit_ratio: hits / requests of the test part.
        byte_hit_ratio: bytes of the hits / bytes of those requests; the hit ratio itself where
            objects weigh alike.
        cost_hit_ratio: the same of the costs of fetching them.
        hit_ratio_sd, byte_hit_ratio_sd, cost_hit_ratio_sd: standard deviation over the seeds, 0
            where there is but one.
        seconds: of one replay of the whole trace.
        train_seconds: of one training; None where nothing is trained.
        seeds: the figures of each seed, of a policy that has any.
    """

    policy: str
    size: float
    capacity: int
    hit_ratio: float
    byte_hit_ratio: float
    cost_hit_ratio: float
    hit_ratio_sd: float
    byte_hit_ratio_sd: float
    cost_hit_ratio_sd: float
    seconds: float
    train_seconds: float | None
    seeds: list[dict[str, Any]]


class _Ready(NamedTuple):
    """A policy to replay, and what it was trained with if it was."""

    policy: Policy
    seed: int | None = None
    seconds: float | None = None


class CacheComparison:
    """Measures policies as they come.

    Attributes:
        workload: what is replayed.
        test: position of the first request that counts.
        results: of each policy and size, in the order in which policies were added.
        rankers: of each ranker and K.
        skipped: which policy had no room for its parts at which capacity.
    """

    def __init__(
        self,
        workload: Workload,
        sizes: Sequence[float],
        warmup: float = 0.5,
        seeds: Sequence[int] = (0,),
        ks: Sequence[int] = ranking.KS,
        report: Report = silent,
    ) -> None:
        """Args:
        workload: to replay.
        sizes: as `Workload.capacity` takes them.
        warmup: share of the requests that count no hits.
        seeds: of the trainings.
        ks: objects that rankers rank.
        report: is told how trainings, replays and rankings get on.
        """
        self.workload = workload
        self.test = int(warmup * len(workload))
        if not 0 <= self.test < len(workload):
            raise WorkloadError(
                f"warmup: got {warmup:g}; expected a share of the requests from 0 and below 1"
            )
        self.results: list[CacheResult] = []
        self.rankers: list[RankerResult] = []
        self.skipped: list[str] = []
        self._sizes = sizes
        self._seeds = seeds
        self._ks = ks
        self._report = report

    def add(self, policy: Policy | TrainedPolicy) -> list[CacheResult]:
        """Measures a policy at every size at which it can run, and its ranker if it has one.

        Raises:
            WorkloadError: it has to learn, and there is no warm-up part to learn from.
        """
        try:
            ready = self._ready(policy)
        except TooFewRequestsError as error:
            self.skipped.append(f"{policy.name}: {error}")
            return []
        results = []
        for number, size in enumerate(self._sizes):
            self._report(f"{policy.name}, sizes", number, len(self._sizes))
            try:
                results.append(_summed([self._replay(policy.name, one, size) for one in ready]))
            except TooSmallError as error:
                self.skipped.append(str(error))
        self._report(f"{policy.name}, sizes", len(self._sizes), len(self._sizes))
        self.results += results
        held = self._objects_held()
        rankers = [partial(one.policy.ranker, held) for one in ready if one.policy.ranker]
        if rankers:
            self.rank(policy.name, rankers)
        return results

    def rank(self, name: str, makers: Sequence[Callable[[], Ranker]]) -> list[RankerResult]:
        """Measures a ranker, of each seed one; none where the test part has no whole window."""
        found = []
        began = time.perf_counter()
        for make in makers:
            figures, windows = ranking.measure(
                make(), self.workload, self.test, self._ks, self._titled(name)
            )
            if not windows:
                return []
            found.append(figures)
        seconds = (time.perf_counter() - began) / len(makers)
        mean = np.mean(found, axis=0)
        deviation = _deviation(np.array(found))
        results = [
            RankerResult(
                ranker=name, k=k, map=float(mean[i, 0]), ndcg=float(mean[i, 1]),
                map_sd=float(deviation[i, 0]), ndcg_sd=float(deviation[i, 1]),
                windows=windows, seconds=round(seconds, 3),
            )
            for i, k in enumerate(self._ks)
        ]  # fmt: skip
        self.rankers += results
        return results

    def _ready(self, policy: Policy | TrainedPolicy) -> list[_Ready]:
        """The policy as it is replayed, one for each seed where it has any."""
        if isinstance(policy, Policy):
            return [_Ready(policy)]
        if not self.test:
            raise WorkloadError(
                f"{policy.name} learns from the warm-up part, and warmup is 0; expected a share "
                "above 0, another policy, or a pretrained one"
            )
        before = self.workload.first(self.test)
        ready = []
        for seed in self._seeds:
            began = time.perf_counter()
            trained = policy.train(before, seed, self._titled(f"{policy.name}, seed {seed}"))
            ready.append(_Ready(trained, seed, round(time.perf_counter() - began, 3)))
        return ready

    def _replay(self, name: str, ready: _Ready, size: float) -> CacheResult:
        work = self.workload
        capacity = work.capacity(size)
        began = time.perf_counter()
        hits = ready.policy.replay(work, capacity)[self.test :]
        seconds = time.perf_counter() - began
        figures = {}
        for ratio, objective in RATIOS.items():
            worth = work.worths(objective)[work.objects[self.test :]]
            figures[ratio] = float(worth[hits].sum() / worth.sum())
        return CacheResult(
            policy=name, size=size, capacity=capacity, **figures,
            **{f"{ratio}_sd": 0.0 for ratio in RATIOS}, seconds=round(seconds, 3),
            train_seconds=ready.seconds,
            seeds=[] if ready.seed is None else [{"seed": ready.seed, **figures}],
        )  # fmt: skip

    def _objects_held(self) -> int:
        """Objects that the cache in the middle of the sizes holds, about, where they have sizes."""
        size = sorted(self._sizes)[len(self._sizes) // 2]
        share = self.workload.capacity(size) / float(self.workload.sizes.sum())
        return max(1, int(min(1.0, share) * self.workload.sizes.size))

    def _titled(self, title: str) -> Report:
        def titled(stage: str, done: int, total: int, loss: float | None = None) -> None:
            self._report(f"{title}: {stage}", done, total, loss)

        return titled


def _summed(found: Sequence[CacheResult]) -> CacheResult:
    """The results of a policy's seeds at one size as one."""

    def mean(key: str) -> float:
        return float(np.mean([getattr(one, key) for one in found]))

    def deviation(key: str) -> float:
        return float(_deviation(np.array([getattr(one, key) for one in found])))

    return msgspec.structs.replace(
        found[0],
        **{ratio: mean(ratio) for ratio in RATIOS},
        **{f"{ratio}_sd": deviation(ratio) for ratio in RATIOS},
        seconds=round(mean("seconds"), 3),
        train_seconds=found[0].train_seconds and round(mean("train_seconds"), 3),
        seeds=[figures for one in found for figures in one.seeds],
    )


def _deviation(figures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation over the first axis, 0 of a single one."""
    if len(figures) < 2:
        return np.zeros(figures.shape[1:])
    return np.asarray(np.std(figures, axis=0, ddof=1))
