"""Timers of cascades: a binary heap by time, in an array of the state.

An entry is void unless its time is still when its slot's goes off, so a timer is moved by pushing
another one.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def _before(timers, a, b):
    return timers[a].time < timers[b].time


@njit(cache=True)
def _swap(timers, a, b):
    time, slot = timers[a].time, timers[a].slot
    timers[a].time, timers[a].slot = timers[b].time, timers[b].slot
    timers[b].time, timers[b].slot = time, slot


@njit(cache=True)
def push_timer(state, time, slot):
    """Sets a timer of a slot."""
    tally, timers = state.tally[0], state.timers
    i = tally.timers
    timers[i].time = time
    timers[i].slot = slot
    tally.timers += 1
    while i > 0 and _before(timers, i, (i - 1) // 2):
        _swap(timers, i, (i - 1) // 2)
        i = (i - 1) // 2


@njit(cache=True)
def pop_timer(state):
    """Takes the earliest timer off."""
    tally, timers = state.tally[0], state.timers
    tally.timers -= 1
    i = np.int64(0)  # of one type with those that follow, so that the helpers are compiled once
    _swap(timers, i, tally.timers)
    while True:
        child = 2 * i + 1
        if child >= tally.timers:
            return
        if child + 1 < tally.timers and _before(timers, child + 1, child):
            child += 1
        if not _before(timers, child, i):
            return
        _swap(timers, i, child)
        i = child
