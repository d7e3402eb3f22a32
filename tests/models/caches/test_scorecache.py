"""Caches against slow, obvious ones that look at every resident for each decision."""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.caches.scorecache import AdvisedCache, ScoreCache
from models.caches.tuned import TAUS, TRAILING, TUNE_EVERY, TunedCache
from models.data.requests import read_requests

requests = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9)), max_size=120)
capacities = st.integers(1, 20)
FETCH = 2.5


class SlowCache:
    """Evicts the lowest priority, admits only what is above; looks at everything each time."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.priority: dict[int, float] = {}
        self.size: dict[int, int] = {}
        self.held: set[int] = set()

    def lowest_first(self) -> list[int]:
        return sorted(self.held, key=lambda item: (self.priority[item], item))

    def used(self) -> int:
        return sum(self.size[item] for item in self.held)

    def resize(self, item: int, size: int) -> None:
        self.size[item] = size
        while self.used() > self.capacity:
            self.held.remove(self.lowest_first()[0])

    def request(self, item: int) -> bool:
        if item in self.held:
            return True
        if self.size[item] > self.capacity:
            return False
        victims = []
        room = self.capacity - self.used()
        for resident in self.lowest_first():
            if room >= self.size[item] or self.priority[resident] >= self.priority[item]:
                break
            victims.append(resident)
            room += self.size[resident]
        if room >= self.size[item]:
            self.held -= set(victims)
            self.held.add(item)
        return False


class SlowAdvised(SlowCache):
    def __init__(self, capacity: int, by_bytes: bool) -> None:
        super().__init__(capacity)
        self.by_bytes = by_bytes
        self.scores: dict[int, float] = {}
        self.last: dict[int, int] = {}
        self.clock = 0

    def prioritise(self) -> None:
        # Pairs: anything with a score is above anything without.
        self.priority = {
            item: (1, self.scores[item]) if item in self.scores else (0, self.last.get(item, 0))
            for item in self.last.keys() | self.scores.keys()
        }

    def one(self, item: int, size: int) -> bool:
        self.clock += 1
        self.last[item] = self.clock
        self.prioritise()
        self.resize(item, (size or self.size.get(item, 1)) if self.by_bytes else 1)
        return self.request(item)


class SlowDecayed(SlowCache):
    """One time constant; the counts as sums over all past requests."""

    def __init__(self, capacity: int, tau: float, by_bytes: bool, objective: str) -> None:
        super().__init__(capacity)
        self.tau, self.by_bytes, self.objective = tau, by_bytes, objective
        self.past: dict[int, list[tuple[int, float]]] = {}
        self.bytes: dict[int, int] = {}
        self.clock = 0

    def score(self, item: int) -> float:
        return math.log(sum(w * math.exp((v - self.clock) / self.tau) for v, w in self.past[item]))

    def one(self, item: int, size: int) -> bool:
        self.clock += 1
        self.bytes[item] = size or self.bytes.get(item, 1)
        worth = {"hits": 1.0, "bytes": self.bytes[item], "cost": FETCH + self.bytes[item]}[
            self.objective
        ]
        if self.by_bytes:
            worth /= self.bytes[item]
        self.past.setdefault(item, []).append((self.clock, worth))
        self.priority = {known: self.score(known) for known in self.past}
        self.resize(item, self.bytes[item] if self.by_bytes else 1)
        return self.request(item)


def split(sequence: list, at: int) -> tuple[list, list]:
    return sequence[: at % (len(sequence) + 1)], sequence[at % (len(sequence) + 1) :]


def replay(cache: AdvisedCache | TunedCache, pairs: list[tuple[int, int]]) -> list[bool]:
    return cache.replay([o for o, _ in pairs], [s for _, s in pairs]).tolist()


@given(requests, capacities, st.integers(0, 120))
def test_without_advice_it_is_lru(pairs: list, capacity: int, at: int) -> None:
    cache = AdvisedCache(capacity)
    held: OrderedDict[int, None] = OrderedDict()
    expected = []
    for item, _ in pairs:
        expected.append(item in held)
        held[item] = None
        held.move_to_end(item)
        if len(held) > capacity:
            held.popitem(last=False)
    first, second = split(pairs, at)
    assert replay(cache, first) + replay(cache, second) == expected
    assert cache.residents().tolist() == sorted(held)


@given(
    requests,
    requests,
    capacities,
    st.dictionaries(st.integers(0, 15), st.sampled_from([-3.0, 0.0, 0.5, 2.0, math.nan])),
    st.dictionaries(st.integers(0, 15), st.sampled_from([-3.0, 0.0, 0.5, 2.0, math.nan])),
    st.sampled_from(["objects", "bytes"]),
)
def test_advised_cache(
    before: list, after: list, capacity: int, advice: dict, change: dict, unit: str
) -> None:
    cache = AdvisedCache(capacity, unit)
    slow = SlowAdvised(capacity, unit == "bytes")
    for pairs, scores in ((before, advice), (after, change), (before, {})):
        assert replay(cache, pairs) == [slow.one(*pair) for pair in pairs]
        cache.advise(list(scores), list(scores.values()))
        for item, score in scores.items():
            slow.scores.pop(item, None)
            if not math.isnan(score):
                slow.scores[item] = score
        slow.prioritise()
        assert cache.residents().tolist() == sorted(slow.held)
        assert cache.used == slow.used()


@given(
    requests,
    capacities,
    st.sampled_from([3.0, 40.0]),
    st.sampled_from(["objects", "bytes"]),
    st.sampled_from(["hits", "bytes", "cost"]),
    st.integers(0, 120),
)
def test_decayed_cache(
    pairs: list, capacity: int, tau: float, unit: str, objective: str, at: int
) -> None:
    cache = TunedCache(capacity, unit, objective, taus=(tau,), fetch_cost=FETCH)
    slow = SlowDecayed(capacity, tau, unit == "bytes", objective)
    first, second = split(pairs, at)
    hits = replay(cache, first) + replay(cache, second)
    assert hits == [slow.one(*pair) for pair in pairs]
    assert cache.residents().tolist() == sorted(slow.held)


@given(requests, capacities, capacities, st.sets(st.integers(0, 12)))
def test_resizing_and_forgetting_keep_the_highest(
    pairs: list, capacity: int, other: int, keep: set
) -> None:
    cache = AdvisedCache(capacity)
    slow = SlowAdvised(capacity, by_bytes=False)
    replay(cache, pairs)
    for pair in pairs:
        slow.one(*pair)
    cache.resize(other)
    slow.capacity = other
    slow.held = set(slow.lowest_first()[-other:])
    assert cache.residents().tolist() == sorted(slow.held)
    known = sorted(item for item in keep if item < cache.known)
    cache.forget(known)
    expected = [known.index(item) for item in sorted(slow.held) if item in known]
    assert cache.residents().tolist() == expected
    # What is remembered goes on as before, under its new name.
    later = [item for item, _ in pairs if item in known]
    hits = cache.replay([known.index(item) for item in later])
    slow.held &= set(known)
    assert hits.tolist() == [slow.one(item, 1) for item in later]


def test_tuning_takes_the_tau_with_most_trailing_hits() -> None:
    generator = np.random.default_rng(1)
    # Popularity that changes at once every 2,000 requests: short memories win.
    codes = np.concatenate(
        [generator.zipf(1.3, 2_000) % 300 + 300 * (i % 7) for i in range(10)]
    ).astype(np.int32)
    taus = (100.0, 2_000.0, 50_000.0)
    cache = TunedCache(30, taus=taus)
    shadows = [TunedCache(30, taus=(tau,)) for tau in taus]
    trailing = np.zeros(3)
    chosen = 1  # until the first choice, the middle one
    for block in codes.reshape(-1, TUNE_EVERY):
        cache.replay(block)
        trailing = trailing * TRAILING + [shadow.replay(block).sum() for shadow in shadows]
        if trailing.max() > trailing[chosen]:
            chosen = int(np.argmax(trailing))
        assert cache.tau == taus[chosen]
    assert cache.tau == 100.0
    # The cache went over to the scores of the tau it chose.
    np.testing.assert_array_equal(
        cache.log_shares(np.arange(5)), shadows[0].log_shares(np.arange(5))
    )


def test_shares_are_those_of_the_past_requests() -> None:
    cache = TunedCache(2, taus=(10.0,))
    codes = [0, 1, 0, 2, 0]
    cache.replay(codes)
    weights = np.exp(-(len(codes) - 1 - np.arange(len(codes))) / 10.0)
    expected = [weights[np.equal(codes, item)].sum() / weights.sum() for item in range(3)]
    np.testing.assert_allclose(np.exp(cache.log_shares([0, 1, 2])), expected)


def test_forgetting_keeps_the_scores_of_the_rest() -> None:
    cache = TunedCache(3, "bytes", taus=(10.0, 20.0))
    cache.replay([0, 1, 2, 3, 1, 3], [1, 2, 1, 1, 2, 1])
    before = cache.log_shares([1, 3])
    cache.forget([1, 3])
    np.testing.assert_array_equal(cache.log_shares([0, 1]), before)
    assert cache.residents().tolist() == [0, 1]
    assert cache.used == 3


def test_what_is_not_allowed_is_said() -> None:
    with pytest.raises(ValueError, match="capacity: got 0; expected at least 1"):
        ScoreCache(0)
    with pytest.raises(ValueError, match="unit: got 'litres'"):
        AdvisedCache(1, "litres")
    with pytest.raises(ValueError, match="objective: got 'fun'"):
        TunedCache(1, objective="fun")
    with pytest.raises(ValueError, match="fetch_cost: got -1"):
        TunedCache(1, objective="cost", fetch_cost=-1)
    with pytest.raises(ValueError, match="taus: got"):
        TunedCache(1, taus=(2.0, 1.0))
    with pytest.raises(ValueError, match="sizes: got 1; expected one a request: 2"):
        AdvisedCache(1).replay([0, 1], [1])
    with pytest.raises(ValueError, match="expected indices from 0"):
        AdvisedCache(1).replay([-1])


@pytest.mark.data
@pytest.mark.parametrize(
    ("trace", "share", "lru", "decayed"),
    [
        # LRU over the whole trace, the tuned decayed count over its second half.
        ("kuairand", 0.05, 0.462, 0.504),
        ("kuairand", 0.10, 0.634, 0.657),
        ("movielens1m", 0.01, 0.026, 0.121),
        ("movielens1m", 0.05, 0.169, 0.356),
        ("movielens1m", 0.10, 0.338, 0.527),
        ("web12_untimed", 0.05, 0.600, 0.655),
    ],
)
def test_hit_ratios_on_real_traces(data_dir, trace, share, lru, decayed) -> None:
    requests = read_requests(data_dir / "requests" / f"{trace}.csv.xz")
    capacity = round(share * len(requests.object_ids))
    assert AdvisedCache(capacity).replay(requests.objects).mean() == pytest.approx(lru, abs=6e-4)
    hits = TunedCache(capacity, taus=TAUS).replay(requests.objects)
    assert hits[len(hits) // 2 :].mean() == pytest.approx(decayed, abs=6e-4)
