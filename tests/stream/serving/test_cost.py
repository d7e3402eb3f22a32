"""The cost of calls: learnt from timings, and what is cut by it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.serving.cost import BELIEVED, CallCost

TRUTH = np.array([3e-3, 1e-4, 2e-6])
costs = st.tuples(*(st.floats(0, most) for most in (0.5, 0.05, 1e-3)))
sizes = st.lists(st.integers(0, 600), max_size=300)


def learnt(truth: np.ndarray, calls: int, noise: float = 0.0, seed: int = 0) -> CallCost:
    """After so many calls of mixed sizes, their times off by up to a share `noise`."""
    rng = np.random.default_rng(seed)
    cost = CallCost()
    for _ in range(calls):
        snapshots = int(rng.integers(1, 200))
        events = int(snapshots * rng.uniform(5, 200))
        exact = float(truth @ (1, snapshots, events))
        cost.learn(snapshots, events, exact * rng.uniform(1 - noise, 1 + noise))
    return cost


@given(costs, sizes, st.floats(1e-3, 10))
def test_a_cut_covers_all_once_and_keeps_the_deadline(
    given_costs: tuple[float, float, float], events: list[int], deadline: float
) -> None:
    cost = CallCost()
    cost.costs = np.array(given_costs)
    calls = cost.cut(events, deadline)
    assert sorted(position for call in calls for position in call) == list(range(len(events)))
    longest = max(deadline, 2 * given_costs[0])
    for call in calls:
        seconds = cost.predict(len(call), sum(events[position] for position in call))
        assert len(call) == 1 or seconds <= longest * (1 + 1e-9)
    # Alike go together, and those that are alike stay in order.
    order = [position for call in calls for position in call]
    assert order == sorted(range(len(events)), key=lambda position: events[position])


@given(costs, sizes, st.floats(1e-3, 10))
def test_no_two_neighbouring_calls_would_have_been_one(
    given_costs: tuple[float, float, float], events: list[int], deadline: float
) -> None:
    cost = CallCost()
    cost.costs = np.array(given_costs)
    calls = cost.cut(events, deadline)
    for call, following in itertools.pairwise(calls):
        joined = [*call, following[0]]
        seconds = cost.predict(len(joined), sum(events[position] for position in joined))
        assert seconds > max(deadline, 2 * given_costs[0]) * (1 - 1e-9)


def test_the_first_call_is_neither_one_snapshot_nor_everything() -> None:
    [first, *others] = CallCost().cut([100] * 1_000, 0.1)
    assert 16 < len(first) < 512
    assert others


def test_exact_times_are_learnt() -> None:
    assert learnt(TRUTH, 60).costs == pytest.approx(TRUTH, rel=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_predictions_hold_under_noise(seed: int) -> None:
    cost = learnt(TRUTH, 100, noise=0.2, seed=seed)
    for snapshots, events in ((1, 10), (20, 400), (150, 15_000)):
        exact = float(TRUTH @ (1, snapshots, events))
        assert cost.predict(snapshots, events) == pytest.approx(exact, rel=0.35)


@given(
    st.lists(
        st.tuples(st.integers(1, 500), st.integers(0, 100_000), st.floats(0, 100)), max_size=40
    )
)
def test_whatever_was_timed_no_cost_is_negative(calls: list[tuple[int, int, float]]) -> None:
    cost = CallCost()
    for call in calls:
        cost.learn(*call)
        assert (cost.costs >= 0).all() and np.isfinite(cost.costs).all()


def test_one_pause_moves_little_and_a_lasting_change_is_followed() -> None:
    cost = learnt(TRUTH, 60)
    usual = float(TRUTH @ (1, 50, 2_500))
    cost.learn(50, 2_500, 1_000 * usual)
    assert cost.predict(50, 2_500) < BELIEVED / 2 * usual
    for _ in range(24):
        cost.learn(50, 2_500, 10 * usual)
    assert cost.predict(50, 2_500) == pytest.approx(10 * usual, rel=0.2)


def test_what_calls_do_not_tell_apart_stays_as_it_was() -> None:
    """A thousand calls of one kind, and large ones are still told from small ones."""
    cost = learnt(TRUTH, 60)
    for _ in range(1_000):
        cost.learn(1, 10, float(TRUTH @ (1, 1, 10)))
    assert cost.predict(150, 15_000) == pytest.approx(float(TRUTH @ (1, 150, 15_000)), rel=0.05)
