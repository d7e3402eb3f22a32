"""Comparisons of caches: what counts, who learns from what, and sums over seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.caches.decayed import DecayedCountRanker
from models.caches.workload import Workload, WorkloadError
from models.judging.cache_policies import POLICIES, Policy, TrainedPolicy, named
from models.judging.caching import CacheComparison
from models.judging.caching_plot import draw
from models.judging.ranking import LastCountRanker
from tests.models.traces import drifting, workload_of

CODES = drifting(4_000, 200)
RATIO_TITLES = {"hit_ratio": "hit", "byte_hit_ratio": "bytes hit", "cost_hit_ratio": "cost hit"}


class Noisy:
    """A policy that learns: keeps the objects that were requested most, but for some at random."""

    def __init__(self) -> None:
        self.learnt: list[tuple[int, int]] = []

    def train(self, before: Workload, seed: int, report) -> Policy:
        report("counting", 1, 1)
        self.learnt.append((len(before), seed))
        counts = np.bincount(before.objects, minlength=before.sizes.size)
        counts = counts * np.random.default_rng(seed).random(counts.size)

        def replay(work: Workload, capacity: int) -> np.ndarray:
            return np.isin(work.objects, np.argsort(-counts)[:capacity])

        return Policy("noisy", "Noisy", replay, ranker=lambda held: LastCountRanker())


def test_hits_are_counted_after_the_warm_up() -> None:
    sizes = {code: 1 + code % 7 for code in range(200)}
    for work in (workload_of(CODES), workload_of(CODES, sizes)):
        compared = CacheComparison(work, [0.05, 0.2], warmup=0.25)
        for name in ("lru", "decayed", "belady"):
            compared.add(POLICIES[name])
        assert [(one.policy, one.size) for one in compared.results] == [
            (name, size) for name in ("lru", "decayed", "belady") for size in (0.05, 0.2)
        ]
        for one in compared.results:
            assert one.capacity == work.capacity(one.size)
            hits = POLICIES[one.policy].replay(work, one.capacity)[1_000:]
            weights = work.weights[1_000:]
            assert one.hit_ratio == pytest.approx(hits.mean())
            assert one.byte_hit_ratio == pytest.approx((hits * weights).sum() / weights.sum())
            costs = weights + work.sizes.mean()
            assert one.cost_hit_ratio == pytest.approx((hits * costs).sum() / costs.sum())
            assert one.train_seconds is None and one.seeds == [] and one.seconds >= 0
    with pytest.raises(WorkloadError, match="warmup: got 1;"):
        CacheComparison(work, [0.1], warmup=1.0)


def test_who_learns_does_so_once_a_seed_from_the_part_before_the_test() -> None:
    noisy = Noisy()
    told: list[str] = []
    compared = CacheComparison(
        workload_of(CODES), [10, 40], seeds=[3, 4, 5],
        report=lambda stage, done, total, loss=None: told.append(stage),
    )  # fmt: skip
    trained = TrainedPolicy("noisy", "Noisy", noisy.train, lambda root: noisy.train)
    results = compared.add(trained)
    assert noisy.learnt == [(2_000, 3), (2_000, 4), (2_000, 5)]
    for one in results:
        ratios = [seed["hit_ratio"] for seed in one.seeds]
        assert [seed["seed"] for seed in one.seeds] == [3, 4, 5]
        assert one.hit_ratio == pytest.approx(np.mean(ratios))
        assert one.hit_ratio_sd == pytest.approx(np.std(ratios, ddof=1)) and one.hit_ratio_sd > 0
        assert one.train_seconds is not None
    assert results[0].hit_ratio < results[1].hit_ratio
    assert {one.ranker for one in compared.rankers} == {"noisy"}
    assert compared.rankers[0].map_sd == 0
    assert "noisy, seed 4: counting" in told
    with pytest.raises(WorkloadError, match="learns from the warm-up part"):
        CacheComparison(workload_of(CODES), [10], warmup=0).add(trained)


def test_pretrained_policies_are_loaded_and_not_trained() -> None:
    noisy = Noisy()
    ready = noisy.train(workload_of(CODES[:100]), 0, lambda *_: None)
    asked = []
    trained = TrainedPolicy("noisy", "Noisy", noisy.train, lambda root: asked.append(root) or ready)
    [loaded] = named(None, {"noisy": trained}, load=lambda policy: policy.load(None))
    compared = CacheComparison(workload_of(CODES), [10], seeds=[0, 1])
    [result] = compared.add(loaded)
    assert asked == [None] and len(noisy.learnt) == 1
    assert result.seeds == [] and result.train_seconds is None


def test_the_ranker_is_made_for_the_cache_in_the_middle() -> None:
    made: list[int] = []
    policy = POLICIES["decayed"]
    assert isinstance(policy, Policy)

    def ranker(held: int) -> DecayedCountRanker:
        made.append(held)
        return DecayedCountRanker(held)

    objects = len(np.unique(CODES))
    for sizes, held in (([0.05, 0.1, 0.5], objects // 10), ([7, 20, 5], 7)):
        CacheComparison(workload_of(CODES), sizes).add(replace(policy, ranker=ranker))
        assert made.pop() == held
    by_bytes = workload_of(CODES, dict.fromkeys(range(200), 10))
    CacheComparison(by_bytes, [0.1]).add(replace(policy, ranker=ranker))
    assert made.pop() == objects // 10


def test_a_policy_without_room_for_its_parts_is_skipped_there() -> None:
    pytest.importorskip(
        "libcachesim", reason="libcachesim is not installed (the extra `bench`)",
        exc_type=ImportError,
    )  # fmt: skip
    compared = CacheComparison(workload_of(CODES), [5, 50])
    assert [one.size for one in compared.add(POLICIES["s3fifo"])] == [50]
    assert "s3fifo: got a capacity of 5 objects; expected at least 10" in compared.skipped[0]


def test_the_picture_is_drawn(tmp_path) -> None:
    work = workload_of(CODES, {code: 1 + code % 7 for code in range(200)})
    compared = CacheComparison(work, [0.05, 0.2])
    compared.add(POLICIES["lru"])
    titles = {"lru": "LRU"}
    draw(tmp_path / "a" / "one.png", "without Belady", compared.results, titles, RATIO_TITLES)
    compared.add(POLICIES["belady"])
    draw(tmp_path / "two.png", "with", compared.results, titles, {"hit_ratio": "hit"})
    for name in ("a/one.png", "two.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
