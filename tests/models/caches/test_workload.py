"""What objects weigh, what capacities mean, and how long windows are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from models.caches.workload import (
    LENGTHS,
    MEDIAN_BYTES,
    REQUESTS_A_WINDOW,
    SIGMA,
    WorkloadError,
    drawn_sizes,
    window_for,
    workload,
)  # fmt: skip
from tests.models.traces import trace_of


def test_objects_weigh_alike_unless_the_trace_has_sizes() -> None:
    plain = workload(trace_of([1, 2, 1]))
    assert plain.unit == "objects" and plain.weights.tolist() == [1, 1, 1]
    sized = trace_of([1, 2, 1], sizes={1: 10, 2: 30})
    assert workload(sized).unit == "bytes"
    assert workload(sized).weights.tolist() == [10, 30, 10]
    assert workload(sized, "unit").unit == "objects"


def test_objects_of_no_stated_size_weigh_what_the_others_do() -> None:
    sized = trace_of([1, 2, 3, 4], sizes={1: 10, 2: 0, 3: 30, 4: 32})
    assert workload(sized).weights.tolist() == [10, 30, 30, 32]


def test_drawn_sizes_are_log_normal_and_belong_to_the_identifier() -> None:
    names = [f"/video/{number}" for number in range(4_000)]
    sizes = drawn_sizes(names)
    assert sizes.min() >= 1
    logs = (np.log(sizes) - np.log(MEDIAN_BYTES)) / SIGMA
    assert stats.kstest(logs, "norm").pvalue > 0.01
    order = np.random.default_rng(0).permutation(len(names))
    shuffled = drawn_sizes([names[i] for i in order])
    np.testing.assert_array_equal(shuffled, sizes[order])
    assert (
        workload(trace_of([1, 2]), "lognormal").sizes.tolist() == drawn_sizes(["o1", "o2"]).tolist()
    )


def test_an_answer_is_worth_what_the_objective_says() -> None:
    sized = workload(trace_of([1, 2, 1], sizes={1: 100, 2: 300}))
    assert sized.worths("hits").tolist() == [1, 1]
    assert sized.worths("bytes").tolist() == [100, 300]
    assert sized.worths("cost").tolist() == [300, 500], "a fetch costs the mean object's bytes"
    dear = workload(trace_of([1, 2, 1], sizes={1: 100, 2: 300}), fetch_cost=1_000)
    assert dear.worths("cost").tolist() == [1_100, 1_300]


def test_a_capacity_is_a_share_below_one_and_a_number_from_one_on() -> None:
    units = workload(trace_of(range(250)))
    assert [units.capacity(size) for size in (0.001, 0.01, 0.5, 1, 7)] == [1, 2, 125, 1, 7]
    sized = workload(trace_of([1, 2, 1], sizes={1: 100, 2: 300}))
    assert [sized.capacity(size) for size in (0.01, 0.5, 250)] == [4, 200, 250]


@given(st.lists(st.integers(0, 5), min_size=1), st.integers(0, 30))
def test_the_first_requests_know_nothing_of_the_others(codes: list[int], count: int) -> None:
    whole = workload(trace_of(codes))
    first = whole.first(count)
    alone = trace_of(codes[:count])
    assert first.objects.tolist() == alone.objects.tolist()
    assert list(first.object_ids) == alone.object_ids
    assert first.sizes.size == len(alone.object_ids)
    assert first.timestamps.tolist() == alone.timestamps.tolist()


def test_windows_are_the_shortest_with_a_thousand_requests() -> None:
    def slow(times: np.ndarray) -> float:
        for length in LENGTHS:
            if times.size / len(np.unique(times // length)) >= REQUESTS_A_WINDOW:
                return length
        return LENGTHS[-1]

    generator = np.random.default_rng(0)
    found = set()
    for span in (1e3, 1e4, 1e5, 1e6, 1e9):
        times = np.sort(generator.uniform(0, span, 20_000))
        assert window_for(times) == slow(times)
        found.add(window_for(times))
    assert len(found) == 5


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(WorkloadError, match="without requests"):
        workload(trace_of([]))
    with pytest.raises(WorkloadError, match="without a column `size`"):
        workload(trace_of([1]), "trace")
