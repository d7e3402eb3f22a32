"""MAP@K and NDCG@K by the book, and rankers that are asked only about what they can know."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.caches.decayed import DecayedCountRanker
from models.interface import Ranker
from models.judging.ranking import LastCountRanker, TotalCountRanker, at_k, measure, windows
from tests.models.traces import drifting, workload_of
from topics.records import EdgeWindow


def slow_at_k(counts: list[int], ranked: list[int], k: int) -> tuple[float, float]:
    asked = sum(count > 0 for count in counts)
    precisions, gained = [], 0.0
    for place, item in enumerate(ranked[:k], start=1):
        if counts[item] > 0:
            precisions.append(sum(counts[other] > 0 for other in ranked[:place]) / place)
        gained += counts[item] / math.log2(place + 1)
    best = sum(
        count / math.log2(place + 1)
        for place, count in enumerate(sorted(counts, reverse=True)[:k], start=1)
    )
    return sum(precisions) / min(k, asked), gained / best


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=9).filter(any),
    st.randoms(use_true_random=False),
    st.integers(0, 9),
    st.integers(1, 12),
)
def test_figures_of_one_ranking(counts: list[int], random, ranked: int, k: int) -> None:
    order = random.sample(range(len(counts)), min(ranked, len(counts)))
    found = at_k(np.array(counts), np.array(order, np.int64), k)
    assert found == pytest.approx(slow_at_k(counts, order, k))
    assert all(0 <= figure <= 1 for figure in found)


def test_the_best_ranking_has_one_and_a_useless_one_zero() -> None:
    counts = np.array([0, 5, 1, 0, 2])
    assert at_k(counts, np.array([1, 4, 2, 0, 3]), 3) == pytest.approx((1, 1))
    assert at_k(counts, np.array([0, 3]), 2) == (0, 0)


class Recorder(Ranker):
    """Notes what it is given and asked; scores objects by a table."""

    name = "recorder"
    version = "1"

    def __init__(self, score: float | dict[str, float] = 0.0) -> None:
        self.score = score
        self.stepped: list[EdgeWindow] = []
        self.asked: list[tuple[int, list[str]]] = []

    def step(self, window: EdgeWindow) -> None:
        self.stepped.append(window)

    def scores(self, objects: Sequence[str]) -> np.ndarray:
        self.asked.append((len(self.stepped), list(objects)))
        if isinstance(self.score, dict):
            return np.array([self.score[name] for name in objects])
        return np.full(len(objects), self.score)


def test_a_ranker_is_asked_before_a_window_about_what_was_requested_by_then() -> None:
    # Windows of 60 s with 60 requests each: objects 0..2, then 3..5, and so on.
    codes = np.arange(360) // 60 * 3 + np.arange(360) % 3
    ranker = Recorder()
    figures, count = measure(ranker, workload_of(codes), test=100, ks=[2])
    assert count == 4, "the window at 60 began before the test part"
    assert [steps for steps, _ in ranker.asked] == [2, 3, 4, 5]
    assert [len(names) for _, names in ranker.asked] == [6, 9, 12, 15]
    assert figures.tolist() == [[0, 0]], "nobody can rank what was never requested"
    assert len(ranker.stepped) == 6


def test_among_equal_scores_the_older_object_comes_first() -> None:
    codes = [0] * 60 + [1] * 60 + [0] * 60
    figures, _ = measure(Recorder(), workload_of(codes), test=120, ks=[1])
    assert figures.tolist() == [[1, 1]]
    figures, _ = measure(Recorder({"o0": 0.0, "o1": 1.0}), workload_of(codes), test=120, ks=[1])
    assert figures.tolist() == [[0, 0]]


def test_a_score_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="recorder: a score of window 1 is not a number"):
        measure(Recorder(math.nan), workload_of([0] * 120), test=60)


def test_no_window_in_the_test_part_gives_no_figures() -> None:
    figures, count = measure(Recorder(), workload_of([0] * 50), test=25)
    assert (figures.shape, count) == ((0, 2), 0)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(1, 50)), min_size=1, max_size=60),
    st.integers(0, 100),
)
def test_baselines_count(pairs: list[tuple[int, int]], seconds: int) -> None:
    work = workload_of([code for code, _ in pairs], sizes=dict.fromkeys(range(7), 5))
    last, total = LastCountRanker(), TotalCountRanker()
    everything: Counter[str] = Counter()
    for number, (_, window) in enumerate(windows(work), start=1):
        counted = Counter(window.objects[i] for i in window.requests())
        everything += counted
        last.step(window)
        total.step(window)
        names = [*work.object_ids, "never"]
        np.testing.assert_allclose(np.exp(last.scores(names)), [counted[n] for n in names])
        expected = [everything[n] / number for n in names]
        np.testing.assert_allclose(np.exp(total.scores(names)), expected)


def test_the_decayed_count_lies_between_the_latest_window_and_all_of_them() -> None:
    def ndcg(ranker: Ranker, codes: np.ndarray) -> float:
        figures, _ = measure(ranker, workload_of(codes, window=100.0), 6_000, ks=[20])
        return float(figures[0, 1])

    # A window says little where popularity stays; all of them mislead where it drifts.
    stays, drifts = drifting(12_000, 300)[:1_000], drifting(12_000, 300)
    stays = np.random.default_rng(0).permutation(np.tile(stays, 12))
    assert ndcg(DecayedCountRanker(15), stays) > ndcg(LastCountRanker(), stays) + 0.05
    assert ndcg(DecayedCountRanker(15), drifts) > ndcg(TotalCountRanker(), drifts) + 0.2
