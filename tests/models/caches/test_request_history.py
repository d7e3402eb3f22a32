"""Counts that decay, against sums over all past requests."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.caches.request_history import TAUS, WIDTH, RequestHistory, norms

requests = st.lists(st.integers(0, 5), min_size=1, max_size=60)


def _count(past: list[int], item: int, tau: float) -> float:
    return sum(np.exp(-(len(past) - v) / tau) for v, o in enumerate(past, 1) if o == item)


@given(requests)
def test_shares_are_sums_over_all_requests(past):
    history = RequestHistory()
    history.record(past)
    known = np.unique(past)
    everything = [sum(np.exp(-np.arange(len(past)) / tau)) for tau in TAUS]
    expected = [[_count(past, o, tau) for tau in TAUS] / np.array(everything) for o in known]
    np.testing.assert_allclose(history.shares(known), expected, rtol=1e-9)
    np.testing.assert_allclose(history.shares(known).sum(0), 1, rtol=1e-9)


@given(requests, st.integers(0, 60))
def test_pieces_add_up(past, cut):
    whole, pieces = RequestHistory(), RequestHistory()
    whole.record(past)
    pieces.record(past[:cut])
    pieces.record(past[cut:])
    known = np.unique(past)
    np.testing.assert_array_equal(whole.shares(known), pieces.shares(known))


def test_norms_are_the_counts_of_all_requests():
    taus = np.array(TAUS)
    np.testing.assert_allclose(norms(1, taus), 1)
    np.testing.assert_allclose(norms(3, taus), [1 + np.exp(-1 / t) + np.exp(-2 / t) for t in TAUS])


def test_a_step_tells_what_is_known_of_an_object():
    history = RequestHistory()
    history.record([0, 1, 0, 0])
    objects, features, elapsed = history.step()
    assert objects.tolist() == [0, 1]
    assert features.shape == (2, WIDTH) and features.dtype == np.float32
    np.testing.assert_allclose(features[0, :6], np.log([4, 3 / 4, 4, 2, 4, 3]), rtol=1e-6)
    np.testing.assert_allclose(features[1, :6], np.log([2, 1 / 4, 3, 1, 3, 1]), rtol=1e-6)
    # Since the first request of each, which counts as one already.
    np.testing.assert_allclose(elapsed, [0.004, 0.003])
    shares = history.shares(np.array([0, 1]))
    np.testing.assert_allclose(features[:, 6:], np.log(shares), rtol=1e-5)

    history.record([2, 1])
    objects, features, elapsed = history.step()
    assert objects.tolist() == [1, 2]
    np.testing.assert_allclose(elapsed, [0.002, 0.002])


def test_objects_that_are_kept_keep_their_counts():
    history = RequestHistory()
    history.record([0, 1, 2, 2, 1, 0, 2])
    before = history.shares(np.array([0, 2]))
    history.select(np.array([0, 2]))
    np.testing.assert_array_equal(history.shares(np.array([0, 1])), before)
    history.record([5])
    assert history.shares(np.array([5])) == pytest.approx(1 / norms(8, np.array(TAUS))[None])
