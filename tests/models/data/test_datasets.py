"""Snapshots, labels and splits of recorded cascades, against their obvious definitions."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.datasets import ROOT, Cascade, increment, snapshot_at, split_chronologically
from models.judging.metrics import coverage, mape, msle
from topics.hashing import hash_users
from topics.records import BIN_EDGES


def cascade_of(delays: list[float]) -> Cascade:
    users = [str(index) for index in range(len(delays))]
    parents = np.array([ROOT] + [0] * (len(delays) - 1), np.int32)
    return Cascade("c", "0", 1e9, users, parents, np.array(delays))


@given(
    st.lists(st.floats(0, 3e7), max_size=40).map(lambda later: [0.0, *sorted(later)]),
    st.floats(0, 4e7),
    st.integers(1, 10),
)
def test_a_snapshot_holds_what_was_observed(
    delays: list[float], age: float, max_events: int
) -> None:
    cascade = cascade_of(delays)
    snapshot = snapshot_at(cascade, age, max_events)
    observed = [delay for delay in delays if delay <= age]
    kept, rest = observed[:max_events], observed[max_events:]
    assert snapshot.observed_count == len(observed)
    assert snapshot.delays().tolist() == np.float32(kept).tolist()
    assert snapshot.users().tolist() == hash_users(cascade.users[: len(kept)]).tolist()
    bounds = [-np.inf, *BIN_EDGES, np.inf]
    expected = [
        sum(low < delay <= high for delay in rest) for low, high in itertools.pairwise(bounds)
    ]
    assert snapshot.rest_counts().tolist() == (expected if rest else [])


@given(st.floats(0, 100), st.floats(0, 100))
def test_the_label_counts_what_comes_after_the_observation(observed: float, horizon: float) -> None:
    delays = [0.0, 1, 1, 5, 20, 20, 50, 99]
    expected = sum(observed < delay <= horizon for delay in delays)
    assert increment(cascade_of(delays), observed, horizon) == expected


def test_the_split_is_in_order_of_publication() -> None:
    cascades = [
        Cascade(str(i), "a", float(time), ["a"], np.array([ROOT], np.int32), np.zeros(1))
        for i, time in enumerate(np.random.default_rng(0).permutation(100))
    ]
    split = split_chronologically(cascades)
    assert [len(part) for part in split] == [70, 15, 15]
    times = [cascade.published_at for part in split for cascade in part]
    assert times == sorted(times)


def test_metrics_on_figures_worked_by_hand() -> None:
    assert msle([3, 0], [1, 0]) == pytest.approx(0.5)
    assert mape([6, 2], [2, 2]) == pytest.approx(0.25)
    assert coverage([0, 0], [5, 5], [5, 6]) == 0.5
