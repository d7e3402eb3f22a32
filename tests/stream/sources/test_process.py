"""The arithmetic and the heap of the simulated process, each beside the obvious way."""

import heapq

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.sources import branching, process
from stream.sources.parameters import activity_table, load
from stream.sources.simulate import _new_state

RHYTHMS = st.lists(st.floats(0.02, 5), min_size=24, max_size=24)


@settings(deadline=None)
@given(RHYTHMS, st.floats(0, 2e9), st.floats(0, 1e6))
def test_a_population_has_its_own_time(rhythm, time, later):
    table = activity_table(rhythm)
    activity = process.activity_at(table, time)
    assert process.time_at(table, activity) == np.float64(time) or (
        abs(process.time_at(table, activity) - time) < 1e-3
    )
    assert process.activity_at(table, time + later) >= activity
    assert abs(process.activity_at(table, time + 86_400) - activity - 86_400) < 1e-3


def test_own_time_passes_with_the_rhythm():
    rhythm = [1.0] * 12 + [3.0] * 12
    table = activity_table(rhythm)
    assert process.activity_at(table, 12 * 3600.0) == 86_400 / 4
    assert process.time_at(table, 86_400 / 2) == 16 * 3600.0


@settings(deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.floats(0.1, 1e6), st.floats(0.1, 3), st.floats(1, 1e6))
def test_lomax_quantiles_invert_the_law(uniform, scale, exponent, longest):
    delay = process.lomax(uniform, scale, exponent, longest)
    assert 0 <= delay <= longest

    def below(x):
        return 1 - (1 + x / scale) ** -exponent

    assert abs(below(delay) / below(longest) - uniform) < 1e-6


@settings(deadline=None, max_examples=50)
@given(st.lists(st.one_of(st.none(), st.floats(0, 100)), max_size=200))
def test_the_heap_is_a_heap(steps):
    """None takes the earliest out; `heapq` does the same beside it."""
    state = _new_state(len(load().populations))
    reference = []
    for number, step in enumerate(steps):
        if step is not None:
            process.push(state, step, number, 2 * number, 3 * number)
            heapq.heappush(reference, step)
        elif reference:
            number = state.heap_slot[0]
            assert state.heap_time[0] == reference[0] == steps[number]
            assert (state.heap_parent[0], state.heap_user[0]) == (2 * number, 3 * number)
            process.pop(state)
            heapq.heappop(reference)
        assert state.counters[process.PENDING] == len(reference)


def test_a_full_sample_is_halved_until_it_is_thin_enough_and_then_rolls():
    """Shares come one a second, each kept as `kept` says; `kept` goes 1, 1/2, 1/4, then stays."""
    state = _new_state(1)._replace(ring_time=np.empty(8), ring_cascade=np.empty(8, np.int64))
    second = 0
    for _ in range(40):
        branching.remember(state, 0.25, float(second), second)
        recent = int(state.counters[process.RECENT])
        held = sorted(state.ring_time[: min(recent, 8)])
        gaps = set(np.diff(held))
        assert held[-1] == second
        assert max(gaps, default=0) <= 1 / state.kept[0]
        second += round(1 / state.kept[0])
    assert state.kept[0] == 0.25
    assert held == [second - 4 - 4 * back for back in reversed(range(8))]
    assert (np.sort(state.ring_cascade) == held).all()
