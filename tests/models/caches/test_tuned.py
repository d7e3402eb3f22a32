"""Caches that may go by mixtures of decayed counts, against a slow and obvious one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.caches.request_history import TAUS
from models.caches.tuned import BlendedCache, TunedCache

MIXTURES = 2
REFRESH = 7  # requests


class Obvious:
    """One mixture's cache, everything computed anew from all past requests."""

    def __init__(self, capacity: int, prior: np.ndarray) -> None:
        self.capacity, self.prior = capacity, prior
        self.past: list[int] = []
        self.held: dict[int, float] = {}  # object: score as of when it was last current
        self.weights: dict[int, np.ndarray] = {}

    def score(self, item: int) -> float:
        now = len(self.past)
        ages = np.array([now - v for v, o in enumerate(self.past, 1) if o == item], float)
        shares = [np.exp(-ages / tau).sum() / np.exp(-np.arange(now) / tau).sum() for tau in TAUS]
        return float(np.log(self.weights.get(item, self.prior) @ shares))

    def request(self, item: int) -> bool:
        self.past.append(item)
        if len(self.past) % REFRESH == 0:
            self.held = {other: self.score(other) for other in self.held}
        score = self.score(item)
        if item in self.held:
            self.held[item] = score
            return True
        if len(self.held) < self.capacity:
            self.held[item] = score
        else:
            lowest = min(self.held, key=lambda o: (self.held[o], o))
            if self.held[lowest] < score:
                del self.held[lowest]
                self.held[item] = score
        return False

    def weigh(self, weights: dict[int, np.ndarray]) -> None:
        self.weights |= weights


def _prior() -> np.ndarray:
    random = np.random.default_rng(0)
    return np.exp(random.normal(size=(MIXTURES, len(TAUS))))


@given(
    st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=12), min_size=1, max_size=6),
    st.integers(1, 4),
    st.integers(0, 1 << 30),
)
def test_a_mixture_keeps_what_the_obvious_cache_keeps(windows, capacity, seed):
    random = np.random.default_rng(seed)
    cache = BlendedCache(capacity, prior=_prior())
    cache._follows[-1] = len(TAUS)  # the first mixture is in force
    cache._refresh = REFRESH
    obvious = Obvious(capacity, _prior()[0])
    for window in windows:
        hits = cache.replay(window)
        assert hits.tolist() == [obvious.request(item) for item in window]
        requested = np.unique(window)
        weights = np.exp(random.normal(size=(requested.size, MIXTURES, len(TAUS))))
        cache.weigh(requested, weights.astype(np.float32))
        given_ = weights.astype(np.float32).astype(np.float64)
        obvious.weigh({int(o): w[0] for o, w in zip(requested, given_, strict=True)})
        assert cache.residents().tolist() == sorted(obvious.held)
        np.testing.assert_allclose(
            cache.log_shares(requested), [obvious.score(int(o)) for o in requested], rtol=1e-6
        )


def test_without_mixtures_it_is_the_tuned_cache():
    requests = np.random.default_rng(1).zipf(1.3, 5_000) % 300
    blended = BlendedCache(20, prior=np.zeros((0, len(TAUS))))
    assert blended.replay(requests).tolist() == TunedCache(20).replay(requests).tolist()


@pytest.mark.parametrize("good", [True, False])
def test_it_goes_by_a_mixture_only_while_that_answers_more(good):
    # Ten objects get half of the requests and then none, and ten others after them; the rest goes
    # to objects that come once in a while. Counts notice with a delay. The mixture is told at
    # once, or told the opposite.
    random = np.random.default_rng(2)
    popular = random.integers(0, 10, 3_000) + 10 * (np.arange(3_000) >= 2_000)
    rare = random.permutation(np.repeat(np.arange(20, 520), 6))
    requests = np.where(random.random(3_000) < 0.5, popular, rare)
    cache = BlendedCache(10, prior=np.ones((1, len(TAUS))))
    for start in range(0, 3_000, 100):
        cache.replay(requests[start : start + 100])
        objects = np.arange(requests[: start + 100].max() + 1)
        favoured = (objects // 10 == int(start >= 1_900)) == good
        weights = np.where(favoured, 50.0, 0.02)[:, None, None] * np.ones((1, 1, len(TAUS)))
        cache.weigh(objects, weights.astype(np.float32))
    if good:
        assert cache.mixture == 0 and cache.tau is None
    else:
        assert cache.mixture is None and cache.tau in TAUS


def test_bytes_count_where_the_capacity_is_in_bytes():
    # Two objects that are asked for alike; one fits ten times. Per byte it is worth more.
    cache = BlendedCache(100, "bytes", prior=_prior())
    cache._follows[-1] = len(TAUS)
    cache.replay([0, 1, 0, 1], [100, 10, 100, 10])
    cache.weigh(np.array([0, 1]), np.ones((2, MIXTURES, len(TAUS)), np.float32))
    assert cache.residents().tolist() == [1]


def test_what_is_kept_keeps_its_weights():
    cache = BlendedCache(3, prior=_prior())
    cache._follows[-1] = len(TAUS)
    cache.replay([0, 1, 2, 3, 2, 3])
    cache.weigh(np.array([2, 3]), np.full((2, MIXTURES, len(TAUS)), 7, np.float32))
    before = cache.log_shares([0, 2, 3])
    cache.forget([0, 2, 3])
    np.testing.assert_allclose(cache.log_shares([0, 1, 2]), before)
    cache.weigh(np.zeros(0, np.int64), np.zeros((0, MIXTURES, len(TAUS)), np.float32))
    np.testing.assert_allclose(cache.log_shares([0, 1, 2]), before)
