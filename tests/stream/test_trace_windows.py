"""The windows by which rankers are measured are those that a historian closes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.caches.workload import workload
from models.judging.ranking import windows
from stream.historian.histories import EdgeHistories
from stream.settings import Duration, Settings
from tests.models.traces import trace_of
from topics.records import EdgeRequest

LENGTH = 10.0


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 120)), min_size=1, max_size=80),
    st.booleans(),
)
def test_windows_are_those_of_the_historian(pairs: list[tuple[int, int]], sized: bool) -> None:
    times = np.sort([second for _, second in pairs]).astype(float)
    codes = [code for code, _ in pairs]
    sizes = {code: 10 * code + 1 for code in range(6)} if sized else None
    trace = trace_of(codes, times, sizes)
    histories = EdgeHistories(
        Settings(window=Duration(LENGTH), allowed_lateness=Duration(0), clock_witnesses=1)
    )
    requests = [
        EdgeRequest("edge", f"o{code}", time, size=sizes[code] if sizes else None)
        for code, time in zip(codes, times.tolist(), strict=True)
    ]
    # One request long after closes the last window.
    requests.append(EdgeRequest("edge", "after", 1_000.0))
    received = np.full(len(requests), 2_000.0)
    closed = [one.window for one in histories.ingest(requests, received).closed]
    found = [window for _, window in windows(workload(trace, window=LENGTH))]
    assert found == closed
    begins = [begin for begin, _ in windows(workload(trace, window=LENGTH))]
    assert begins == sorted({int(np.searchsorted(times // LENGTH, t // LENGTH)) for t in times})
