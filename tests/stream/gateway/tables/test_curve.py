"""The growth curve, beside a count that looks at every event."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.gateway.tables.curve import growth_curve, thinned
from topics.records import BIN_EDGES

delays_within = st.lists(st.floats(0, 3_600, width=32), min_size=1, max_size=30)


@given(delays_within, st.lists(st.floats(0, 3_599), max_size=30))
def test_it_counts_what_a_look_at_every_event_counts(kept: list[float], rest: list[float]) -> None:
    age, total = 3_600.0, len(kept) + len(rest)
    exact = np.sort(np.array(kept, np.float32))
    # A bin holds what is later than the edge before it, up to its own.
    bins = np.bincount(np.searchsorted(BIN_EDGES, rest), minlength=len(BIN_EDGES) + 1).astype(
        np.int32
    )
    ages, counts = growth_curve(exact, bins if rest else np.zeros(0, np.int32), age, total)
    assert (ages[-1], counts[-1]) == (age, total)
    assert (np.diff(ages) >= 0).all() and (np.diff(counts) >= 0).all()
    everything = [*exact.tolist(), *rest]
    for edge in BIN_EDGES[age > BIN_EDGES]:
        by_then = np.searchsorted(ages, edge, side="right")
        drawn = counts[by_then - 1] if by_then else 0
        assert drawn == sum(delay <= edge for delay in everything)


@given(st.integers(2, 2_000), st.integers(2, 100))
def test_thinned_keeps_both_ends(length: int, limit: int) -> None:
    points = thinned(np.arange(length, dtype=float), np.arange(length), limit)
    assert len(points) == min(length, limit)
    assert (points[0].count, points[-1].count) == (0, length - 1)
