"""A hash table in plain arrays, from 64-bit keys to slots, by linear probing.

`keys` and `slots` are of one length, a power of two; a place whose slot is `FREE` is empty. The
keys are hashes already, so their low bits say where they belong.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FREE = -1


@njit(cache=True)
def find(keys, key_slots, key):
    """The place of `key`, or the free place where it belongs. Linear probing."""
    mask = np.uint64(len(keys) - 1)
    place = key & mask
    while key_slots[place] != FREE and keys[place] != key:
        place = (place + np.uint64(1)) & mask
    return place


@njit(cache=True)
def forget(keys, key_slots, key):
    """Removes `key`; those behind it in its run move up, so that no gap cuts them off."""
    mask = np.uint64(len(keys) - 1)
    gap = find(keys, key_slots, key)
    place = gap
    while True:
        place = (place + np.uint64(1)) & mask
        if key_slots[place] == FREE:
            break
        # May the entry here move to the gap, or does its home lie behind the gap?
        if ((place - (keys[place] & mask)) & mask) >= ((place - gap) & mask):
            keys[gap] = keys[place]
            key_slots[gap] = key_slots[place]
            gap = place
    key_slots[gap] = FREE


@njit(cache=True)
def fill_table(keys, key_slots, new_keys, new_slots):
    """Enters what is in one table into another."""
    for i in range(len(keys)):
        if key_slots[i] != FREE:
            place = find(new_keys, new_slots, keys[i])
            new_keys[place] = keys[i]
            new_slots[place] = key_slots[i]
