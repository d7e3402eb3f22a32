"""Every policy of the table: it cannot see ahead, and the classical ones are who they say."""

from __future__ import annotations

import sys
from collections import OrderedDict

import numpy as np
import pytest

from models.caches import classical
from models.caches.workload import Workload, workload
from models.data.requests import read_requests
from models.judging.cache_policies import POLICIES, Policy, UnknownPolicyError, named
from models.learning.recipes import silent
from tests.models.traces import drifting, workload_of

REQUESTS, OBJECTS = 3_000, 150
SIZES = {code: 10 + 10 * (code * 37 % 50) for code in range(OBJECTS)}


def policy_of(name: str, before: Workload) -> Policy:
    """A policy that is ready to replay; one that learns has learnt from `before`."""
    policy = POLICIES[name]
    if name in classical.CACHES:
        pytest.importorskip(
            "libcachesim", reason="libcachesim is not installed (the extra `bench`)",
            exc_type=ImportError,
        )  # fmt: skip
    if isinstance(policy, Policy):
        return policy
    return policy.train(before, 0, silent)


def changed(codes: np.ndarray, since: int) -> np.ndarray:
    """The same trace up to a request, and something else from there on."""
    return np.concatenate([codes[:since], drifting(len(codes) - since, OBJECTS, seed=9)])


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "belady"])
@pytest.mark.parametrize("sizes", [None, SIZES], ids=["objects", "bytes"])
def test_what_comes_after_a_request_does_not_decide_it(name: str, sizes: dict | None) -> None:
    codes = drifting(REQUESTS, OBJECTS)
    learnt = REQUESTS // 2
    whole = workload_of(codes, sizes)
    policy = policy_of(name, whole.first(learnt))
    capacity = 15 if sizes is None else 4_000
    hits = policy.replay(whole, capacity)
    assert hits.shape == (REQUESTS,) and hits.dtype == np.bool_
    assert hits[learnt:].any() and not hits[learnt:].all()
    assert not looks_ahead(policy, codes, sizes, capacity, learnt)


def looks_ahead(
    policy: Policy, codes: np.ndarray, sizes: dict | None, capacity: int, learnt: int
) -> bool:
    """Whether a change of the trace changes hits before it."""
    hits = policy.replay(workload_of(codes, sizes), capacity)
    for since in (learnt, learnt + 1, 2 * REQUESTS // 3, REQUESTS - 1):
        other = policy.replay(workload_of(changed(codes, since), sizes), capacity)
        if not np.array_equal(hits[:since], other[:since]):
            return True
    return False


def test_who_looks_ahead_is_noticed() -> None:
    codes = drifting(REQUESTS, OBJECTS)
    assert looks_ahead(POLICIES["belady"], codes, SIZES, 4_000, REQUESTS // 2)


@pytest.mark.parametrize("name", POLICIES)
def test_replays_repeat_and_a_first_request_is_a_miss(name: str) -> None:
    work = workload_of(drifting(REQUESTS, OBJECTS))
    policy = policy_of(name, work.first(REQUESTS // 2))
    hits = policy.replay(work, 20)
    np.testing.assert_array_equal(hits, policy.replay(work, 20))
    first = np.unique(work.objects, return_index=True)[1]
    assert not hits[first].any()


def test_nothing_beats_belady() -> None:
    work = workload_of(drifting(REQUESTS, OBJECTS))
    most = POLICIES["belady"].replay(work, 15).sum()
    for name in ("lru", "decayed"):
        assert POLICIES[name].replay(work, 15).sum() < most


@pytest.mark.parametrize("sizes", [None, SIZES], ids=["objects", "bytes"])
def test_lru_is_that_of_libcachesim(sizes: dict | None) -> None:
    package = pytest.importorskip(
        "libcachesim", reason="libcachesim is not installed (the extra `bench`)",
        exc_type=ImportError,
    )  # fmt: skip
    work = workload_of(drifting(REQUESTS, OBJECTS), sizes)
    capacity = 15 if sizes is None else 4_000
    cache, request = package.LRU(capacity), package.Request()
    expected = []
    for item, size in zip(work.objects.tolist(), work.weights.tolist(), strict=True):
        request.obj_id, request.obj_size = item, size
        expected.append(cache.get(request))
    assert POLICIES["lru"].replay(work, capacity).tolist() == expected


def slow_sieve(codes: list[int], capacity: int) -> list[bool]:
    """SIEVE (Zhang et al., NSDI 2024), from its description: a queue, a bit each, and a hand."""
    queue: OrderedDict[int, bool] = OrderedDict()  # oldest first; whether it was visited
    hand: int | None = None
    hits = []
    for item in codes:
        hits.append(item in queue)
        if item in queue:
            queue[item] = True
            continue
        if len(queue) == capacity:
            order = list(queue)
            at = order.index(hand) if hand in queue else 0
            while queue[order[at]]:
                queue[order[at]] = False
                at = (at + 1) % len(order)
            hand = order[at + 1] if at + 1 < len(order) else None
            del queue[order[at]]
        queue[item] = False
    return hits


def test_sieve_is_as_its_paper_says() -> None:
    work = workload_of(drifting(REQUESTS, OBJECTS))
    policy = policy_of("sieve", work)
    assert policy.replay(work, 15).tolist() == slow_sieve(work.objects.tolist(), 15)


@pytest.mark.parametrize("name", ["s3fifo", "wtinylfu"])
def test_policies_with_parts_work_in_a_cache_of_a_few_objects(name: str) -> None:
    work = workload_of(drifting(REQUESTS, OBJECTS))
    policy = policy_of(name, work)
    sieve = POLICIES["sieve"]
    for capacity in (10, 12, 19, 20, 45):
        assert policy.replay(work, capacity).mean() > 0.7 * sieve.replay(work, capacity).mean()
    with pytest.raises(classical.TooSmallError, match="got a capacity of 9 objects; expected at"):
        policy.replay(work, 9)


def test_names_are_those_of_the_table() -> None:
    assert [policy.name for policy in named(["decayed", "lru", "decayed"])] == ["decayed", "lru"]
    with pytest.raises(UnknownPolicyError, match=r"got 'mru'; expected some of lru, lfu"):
        named(["lru", "mru"])


def test_without_libcachesim_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libcachesim", None)
    with pytest.raises(classical.MissingExtraError, match=r"pip install 'tidecast\[bench\]'"):
        named(["lru", "sieve"])
    left_out: list[str] = []
    kept = named(None, skipped=lambda name, error: left_out.append(name))
    assert left_out == ["lfu", "s3fifo", "sieve", "wtinylfu", "lrb"]
    assert {policy.name for policy in kept} == set(POLICIES) - set(left_out)


@pytest.mark.data
@pytest.mark.parametrize(
    ("trace", "share", "expected"),
    [
        # LRU, LFU, S3-FIFO, SIEVE, W-TinyLFU over the whole trace.
        ("kuairand", 0.01, (0.173, 0.045, 0.283, 0.270, None)),
        ("kuairand", 0.05, (0.462, 0.178, 0.559, 0.554, 0.560)),
        ("kuairand", 0.10, (0.634, 0.323, 0.699, 0.692, 0.702)),
        ("movielens1m", 0.01, (0.026, 0.088, 0.093, 0.083, None)),
        ("movielens1m", 0.05, (0.169, 0.296, 0.295, 0.315, 0.307)),
        ("movielens1m", 0.10, (0.337, 0.461, 0.453, 0.486, 0.478)),
        ("web12_untimed", 0.05, (0.600, 0.478, 0.648, 0.635, 0.625)),
    ],
)
def test_reference_figures(data_dir, trace, share, expected) -> None:
    work = workload(read_requests(data_dir / "requests" / f"{trace}.csv.xz"))
    for name, ratio in zip(("lru", "lfu", "s3fifo", "sieve", "wtinylfu"), expected, strict=True):
        if ratio is not None:
            hits = policy_of(name, work).replay(work, work.capacity(share))
            assert hits.mean() == pytest.approx(ratio, abs=6e-4), name


@pytest.mark.data
@pytest.mark.parametrize(
    ("trace", "expected"),
    [("kuairand", (0.187, 0.478, 0.644)), ("web12_untimed", (None, 0.600, None))],
)
def test_reference_figures_of_lrb(data_dir, trace, expected) -> None:
    work = workload(read_requests(data_dir / "requests" / f"{trace}.csv.xz"))
    for share, ratio in zip((0.01, 0.05, 0.10), expected, strict=True):
        if ratio is not None:
            hits = policy_of("lrb", work).replay(work, work.capacity(share))
            assert hits.mean() == pytest.approx(ratio, abs=6e-4)


@pytest.mark.data
@pytest.mark.parametrize(
    ("trace", "expected"),
    [("kuairand", (0.225, 0.504, 0.657)), ("movielens1m", (0.121, 0.356, 0.526))],
)
def test_reference_figures_of_the_decayed_count(data_dir, trace, expected) -> None:
    work = workload(read_requests(data_dir / "requests" / f"{trace}.csv.xz"))
    for share, ratio in zip((0.01, 0.05, 0.10), expected, strict=True):
        hits = policy_of("decayed", work).replay(work, work.capacity(share))
        assert hits[len(work) // 2 :].mean() == pytest.approx(ratio, abs=6e-4)
