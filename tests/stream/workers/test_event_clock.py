"""How far event time has come, against a slow reference, and the rule by its cases."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.settings import Settings
from stream.workers.event_clock import KEPT, EventClock

JUMP, LATENESS = 60.0, 30.0
SETTINGS = Settings(clock_skew=JUMP, allowed_lateness=LATENESS)
times = st.lists(
    st.integers(0, 500).map(float) | st.sampled_from([1e3, 1e4, 1e5, 1e5 + 50]), max_size=60
)


def take(clock: EventClock, times: Sequence[float]) -> list[float]:
    """Where the clock stands after each."""
    count = len(times)
    none = np.full(count, -np.inf)
    return clock.take(np.array(times), np.ones(count, np.bool_), none)[1].tolist()


def reference(times: Sequence[float], witnesses: int) -> list[float]:
    """The rule, word by word."""
    now, kept, found = -math.inf, [], []
    for time in times:
        if time >= now - LATENESS - JUMP:
            kept = [*kept, time][-KEPT:]
            reached = sorted(kept, reverse=True)[witnesses - 1 :]
            if sum(other >= time - JUMP for other in kept) >= witnesses:
                now = max(now, time)
            elif reached:
                now = max(now, reached[0])
        found.append(now)
    return found


@given(times, st.integers(1, KEPT))
def test_it_goes_by_the_rule(log: list[float], witnesses: int) -> None:
    assert take(EventClock(SETTINGS.having(clock_witnesses=witnesses)), log) == reference(
        log, witnesses
    )


@given(times, st.lists(st.integers(1, 9), min_size=1))
def test_batches_and_restarts_do_not_matter(log: list[float], lengths: list[int]) -> None:
    whole = take(EventClock(SETTINGS), log)
    clock, found, start = EventClock(SETTINGS), [], 0
    for length in lengths * len(log):
        found += take(clock, log[start : start + length])
        start += length
        saved = clock.save()
        clock = EventClock(SETTINGS)
        clock.restore(saved)
    assert found == whole


def test_in_a_steady_stream_it_stands_at_the_latest_record() -> None:
    assert take(EventClock(SETTINGS), [100.0, 101.0, 103.0, 102.0, 150.0])[2:] == [103, 103, 150]


def test_two_outliers_among_eight_move_nothing() -> None:
    steady = [100.0 + i for i in range(40)]
    far = 100.0 + 3 * 86_400
    mixed = []
    for i, time in enumerate(steady):
        mixed.append(time)
        if i % 6 == 5:
            mixed += [far, far + 500 * i]
    clock = EventClock(SETTINGS)
    after = dict(zip(mixed, take(clock, mixed), strict=True))
    plain = dict(zip(steady, take(EventClock(SETTINGS), steady), strict=True))
    assert {time: after[time] for time in steady} == plain
    assert clock.time == steady[-1]


def test_after_a_silence_it_goes_on_once_three_have_come() -> None:
    clock = EventClock(SETTINGS)
    take(clock, [100.0, 101.0, 102.0])
    assert take(clock, [9_000.0, 9_010.0]) == [102.0, 102.0]
    assert take(clock, [9_020.0, 9_021.0]) == [9_020.0, 9_021.0]


def test_creeping_ahead_gains_less_than_a_jump() -> None:
    clock = EventClock(SETTINGS)
    honest = 100.0
    take(clock, [honest, honest, honest])
    for step in range(1, 50):
        take(clock, [honest] * 7)
        take(clock, [honest + step * (JUMP - 1)])
    assert clock.time <= honest + JUMP


def test_an_older_log_beside_it_neither_holds_nor_moves_it() -> None:
    clock = EventClock(SETTINGS)
    take(clock, [10_000.0, 10_001.0, 10_002.0])
    for i in range(100):
        take(clock, [50.0 + i] * 9)
        assert take(clock, [10_003.0 + i]) == [10_003.0 + i]


def test_what_is_not_believed_is_no_witness() -> None:
    clock = EventClock(SETTINGS)
    never = np.zeros(9, np.bool_)
    clock.take(np.full(9, 1e6), never, np.full(9, -np.inf))
    assert clock.time == -math.inf


def test_without_records_it_goes_on_only_when_it_is_told() -> None:
    clock = EventClock(SETTINGS)
    clock.advance(500.0)
    clock.advance(400.0)
    assert (clock.time, clock.watermark) == (500.0, 470.0)
