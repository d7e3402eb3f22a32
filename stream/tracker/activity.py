"""The cascades of a partition in order of their latest event: a doubly linked list of slots."""

from __future__ import annotations

from numba import njit


@njit(cache=True)
def link_newest(state, slot):
    """Makes a slot the newest."""
    tally, slots = state.tally[0], state.slots
    slots[slot].older = tally.newest
    slots[slot].newer = -1
    if tally.newest >= 0:
        slots[tally.newest].newer = slot
    else:
        tally.oldest = slot
    tally.newest = slot


@njit(cache=True)
def unlink(state, slot):
    """Takes a slot out."""
    tally, slots = state.tally[0], state.slots
    older, newer = slots[slot].older, slots[slot].newer
    if older >= 0:
        slots[older].newer = newer
    else:
        tally.oldest = newer
    if newer >= 0:
        slots[newer].older = older
    else:
        tally.newest = older
