"""Belady's cache against a search through all that a cache could have done."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.caches import belady
from models.caches.workload import workload
from models.data.requests import read_requests
from tests.models.traces import drifting, workload_of

codes = st.lists(st.integers(0, 5), min_size=1, max_size=14)


def most_hits(requests: tuple[int, ...], capacity: int, bypass: bool) -> int:
    """The most hits of all ways to keep and evict."""

    @cache
    def best(position: int, held: frozenset[int]) -> int:
        if position == len(requests):
            return 0
        item = requests[position]
        if item in held:
            return 1 + best(position + 1, held)
        choices = [held] if bypass else []
        if len(held) < capacity:
            choices.append(held | {item})
        choices += [held - {victim} | {item} for victim in held]
        return max(best(position + 1, choice) for choice in choices)

    return best(0, frozenset())


@given(codes, st.integers(1, 4), st.booleans())
@settings(max_examples=60)
def test_no_cache_could_have_had_more_hits(
    requests: list[int], capacity: int, bypass: bool
) -> None:
    hits = belady.replay(workload_of(requests), capacity, bypass=bypass)
    assert hits.sum() == most_hits(tuple(requests), capacity, bypass)


@given(codes)
def test_the_next_request_is_the_next_for_the_same_object(requests: list[int]) -> None:
    found = belady.next_requests(np.array(requests, np.int32)).tolist()
    for position, item in enumerate(requests):
        later = [other for other in range(position + 1, len(requests)) if requests[other] == item]
        assert found[position] == (later[0] if later else len(requests))


def slow_sizes(requests: list[int], sizes: dict[int, int], capacity: int, objective: str) -> list:
    """The approximation for objects with sizes, by looking through everything each time."""
    held: list[int] = []
    hits = []

    mean = sum(sizes[item] for item in set(requests)) / len(set(requests))

    def rate(item: int) -> float:
        """What a unit of waiting costs: the bytes over the worth of an answer."""
        worth = {"hits": 1, "bytes": sizes[item], "cost": mean + sizes[item]}[objective]
        return sizes[item] / worth

    def burden(item: int, position: int) -> float:
        later = [other for other in range(position, len(requests)) if requests[other] == item]
        ahead = (later[0] if later else len(requests)) - position
        return ahead * rate(item)

    for position, item in enumerate(requests):
        hits.append(item in held)
        if item in held or sizes[item] > capacity:
            continue
        own = burden(item, position + 1) + rate(item)
        kept, gone = list(held), []
        while sum(sizes[one] for one in kept) + sizes[item] > capacity:
            worst = max(kept, key=lambda one: burden(one, position))
            if burden(worst, position) <= own:
                break
            # As an array is kept dense, which decides between equals: the last takes its place.
            kept[kept.index(worst)] = kept[-1]
            gone.append(worst)
            kept.pop()
        if sum(sizes[one] for one in kept) + sizes[item] <= capacity:
            held = [*kept, item]
        else:
            held = kept + gone[::-1]
    return hits


@given(
    st.lists(st.integers(0, 7), min_size=1, max_size=40),
    st.lists(st.integers(1, 9), min_size=8, max_size=8),
    st.integers(1, 25),
    st.sampled_from(["hits", "bytes", "cost"]),
)
def test_with_sizes_what_is_evicted_takes_most_room_for_longest(
    requests: list[int], drawn: list[int], capacity: int, objective: str
) -> None:
    sizes = dict(enumerate(drawn))
    found = belady.replay(workload_of(requests, sizes, objective), capacity)
    assert found.tolist() == slow_sizes(requests, sizes, capacity, objective)


def test_with_equal_sizes_the_approximation_is_exact_up_to_the_sample() -> None:
    requests = drifting(6_000, 400)
    for capacity in (20, 100):
        exact = belady.replay(workload_of(requests), capacity)
        by_bytes = belady.replay(workload_of(requests, dict.fromkeys(range(400), 7)), 7 * capacity)
        assert by_bytes.sum() == exact.sum()
    # Where more are held than the sample looks at it stays close.
    exact = belady.replay(workload_of(requests), 200).mean()
    by_bytes = belady.replay(workload_of(requests, dict.fromkeys(range(400), 7)), 1_400).mean()
    assert exact - 0.01 < by_bytes <= exact


@pytest.mark.data
@pytest.mark.parametrize(
    ("trace", "share", "whole", "second"),
    [
        ("kuairand", 0.01, 0.421, 0.353),
        ("kuairand", 0.05, 0.703, 0.642),
        ("kuairand", 0.10, 0.817, 0.773),
        ("movielens1m", 0.01, 0.218, 0.223),
        ("movielens1m", 0.05, 0.499, 0.500),
        ("movielens1m", 0.10, 0.657, 0.657),
        ("web12_untimed", 0.05, 0.747, None),
    ],
)
def test_reference_figures(data_dir, trace, share, whole, second) -> None:
    """They are of the cache that lets every newcomer in; refusing some gives no fewer hits."""
    work = workload(read_requests(data_dir / "requests" / f"{trace}.csv.xz"))
    hits = belady.replay(work, work.capacity(share), bypass=False)
    assert hits.mean() == pytest.approx(whole, abs=6e-4)
    if second is not None:
        assert hits[len(hits) // 2 :].mean() == pytest.approx(second, abs=6e-4)
    assert belady.replay(work, work.capacity(share)).sum() >= hits.sum()
