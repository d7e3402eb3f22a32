"""The example of a cache policy: it cannot see ahead, and it is judged beside the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from examples import own_cache_policy
from tests.documented import ROOT
from tests.models.traces import drifting, workload_of

SIZES = {code: 10 + 10 * (code * 37 % 50) for code in range(150)}


def test_an_object_is_let_in_at_the_second_request_for_it() -> None:
    hits = own_cache_policy.two_strikes(workload_of([0, 0, 0, 1, 2, 0, 1, 1]), 1)
    # What is turned away is forgotten when there is more of it than the cache holds.
    assert hits.tolist() == [False, False, True, False, False, True, False, False]


@pytest.mark.parametrize("sizes", [None, SIZES], ids=["objects", "bytes"])
def test_what_comes_after_a_request_does_not_decide_it(sizes: dict[int, int] | None) -> None:
    codes = drifting(2_000, 150)
    capacity = 15 if sizes is None else 4_000
    hits = own_cache_policy.two_strikes(workload_of(codes, sizes), capacity)
    first = own_cache_policy.two_strikes(workload_of(codes[:1_200], sizes), capacity)
    np.testing.assert_array_equal(hits[:1_200], first)
    assert hits.any() and not hits.all()


def test_it_is_run_on_a_trace_and_nothing_beats_belady(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    codes = drifting(3_000, 300).tolist()
    lines = [f"{1_600_000_000 + at},o{code}" for at, code in enumerate(codes)]
    trace.write_text("\n".join(["timestamp,object_id", *lines]))
    run = subprocess.run(
        [sys.executable, "examples/own_cache_policy.py", str(trace)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = [line.split() for line in run.stdout.splitlines()]
    assert [policy for policy, *_ in told[::3]] == ["lru", "decayed", "belady", "two-strikes"]
    by_size = {size: {p: float(r) for p, s, r in told if s == size} for _, size, _ in told}
    assert set(by_size) == {"1%", "5%", "10%"}
    for ratios in by_size.values():
        assert 0 < ratios["two-strikes"] < ratios["belady"]
