"""The ranker by decayed counts against counts added up by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.caches.decayed import DecayedCountRanker
from topics.records import EdgeWindow

LENGTH = 300.0


def window(epoch: int, names: list[str], part: int = 0, parts: int = 1) -> EdgeWindow:
    objects = list(dict.fromkeys(names))
    order = np.array([objects.index(name) for name in names], np.int32)
    return EdgeWindow(
        "edge", epoch * LENGTH, LENGTH, part, parts, objects,
        np.bincount(order, minlength=len(objects)).astype("<i4").tobytes(),
        np.zeros(len(objects), "<i8").tobytes(), order.astype("<i4").tobytes(),
    )  # fmt: skip


names = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30)


@given(st.lists(names, min_size=1, max_size=6))
def test_scores_are_log_of_share_times_requests_a_window(windows: list[list[str]]) -> None:
    ranker = DecayedCountRanker(cache_objects=3, taus=(20.0,))
    for epoch, content in enumerate(windows):
        ranker.step(window(epoch, content))
    everything = [name for content in windows for name in content]
    weights = np.exp(-np.arange(len(everything))[::-1] / 20.0)
    ages = np.arange(len(windows))[::-1]
    mean = np.average([len(content) for content in windows], weights=0.5**ages)
    for name in "abcdefgh":
        share = weights[np.array(everything) == name].sum() / weights.sum()
        expected = np.log(share * mean) if share else -np.inf
        assert ranker.scores([name])[0] == pytest.approx(expected)


def test_windows_that_never_came_had_no_requests() -> None:
    ranker = DecayedCountRanker(cache_objects=1)
    ranker.step(window(10, ["a"] * 8))
    ranker.step(window(13, ["a"] * 4))
    # Windows 10 to 13 had 8, 0, 0 and 4 requests, weighted 1, 2, 4 and 8.
    assert np.exp(ranker.scores(["a"])[0]) == pytest.approx((8 * 1 + 4 * 8) / 15)


@given(st.lists(names, min_size=1, max_size=5), st.integers(1, 10))
def test_parts_of_a_window_add_up_to_it(windows: list[list[str]], cut: int) -> None:
    whole, parts = DecayedCountRanker(cache_objects=2), DecayedCountRanker(cache_objects=2)
    for epoch, content in enumerate(windows):
        whole.step(window(epoch, content))
        pieces = [content[i : i + cut] for i in range(0, len(content), cut)]
        for number, piece in enumerate(pieces):
            parts.step(window(epoch, piece, number, len(pieces)))
    np.testing.assert_array_equal(whole.scores("abcdefgh"), parts.scores("abcdefgh"))


def test_the_catalogue_is_bounded_and_keeps_the_highest_scores() -> None:
    ranker = DecayedCountRanker(max_objects=16)
    for epoch in range(20):
        ranker.step(window(epoch, ["often"] * 5 + [f"once-{epoch}-{i}" for i in range(3)]))
        assert len(ranker) <= 16
    assert ranker.forgotten == 61 - len(ranker)
    scores = ranker.scores(["often", "once-19-0", "once-0-0"])
    assert scores[0] > scores[1] > scores[2] == -np.inf


def test_sizes_matter_to_the_objective_of_bytes_only() -> None:
    content = window(0, ["small", "large"] * 10)
    sizes = np.array([1, 1_000_000], "<i8").tobytes()
    content = EdgeWindow(
        **{f: getattr(content, f) for f in content.__struct_fields__} | {"size": sizes}
    )
    for objective in ("hits", "bytes"):
        ranker = DecayedCountRanker(cache_objects=1, objective=objective)
        ranker.step(content)
        # A score is a rate of requests whatever the objective.
        small, large = ranker.scores(["small", "large"])
        assert small == pytest.approx(large, abs=1e-3)
