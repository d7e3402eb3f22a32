"""Event time of an edge, from the epochs that are closed."""

from __future__ import annotations

import math

from stream.edge.clock import EventClock
from tests.stream.edge.records import LENGTH, epoch


def test_event_time_goes_on_from_the_end_of_the_window_as_the_wall_clock_does() -> None:
    clock = EventClock()
    assert clock.now(500.0) == 0 and clock.staleness(500.0) == math.inf
    assert clock.close(epoch(10, produced_at=1000.0), wall=1003.0)
    assert clock.now(1003.0) == 11 * LENGTH + 3
    assert clock.staleness(1003.0) == 3
    # A replay that runs fast: the next window is over long before it would have been.
    assert clock.close(epoch(20, produced_at=1004.0), wall=1004.0)
    assert clock.now(1005.0) == 21 * LENGTH + 1


def test_a_repeat_or_an_earlier_epoch_is_no_news() -> None:
    clock = EventClock()
    clock.close(epoch(10, produced_at=1000.0), wall=1000.0)
    assert not clock.close(epoch(10, produced_at=1050.0), wall=1050.0)
    assert not clock.close(epoch(9, produced_at=1050.0), wall=1050.0)
    assert clock.staleness(1050.0) == 50 and clock.epoch == 10


def test_a_ranker_whose_clock_is_ahead_does_not_make_decisions_fresh_for_longer() -> None:
    clock = EventClock()
    clock.close(epoch(10, produced_at=9000.0), wall=1000.0)
    assert clock.staleness(1000.0) == 0 and clock.staleness(1010.0) == 10


def test_a_wall_clock_that_is_set_back_does_not_turn_event_time_back_beyond_the_window() -> None:
    clock = EventClock()
    clock.close(epoch(10, produced_at=1000.0), wall=1000.0)
    assert clock.now(400.0) == 11 * LENGTH and clock.staleness(400.0) == 0
