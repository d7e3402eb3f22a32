"""An indexed binary min-heap in plain arrays, and the cache that evicts from its top.

The heap orders object indices by `priority`, equal priorities by index, so that its order is a
function of the priorities alone. `place[object]` is the object's position in `heap`, -1 where it
is not in it. `fill` is the state of one cache: objects held, units used, capacity in units.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

HELD, USED, CAPACITY = 0, 1, 2  # positions in `fill`


@njit(cache=True)
def _before(priority: Any, a: int, b: int) -> bool:
    return priority[a] < priority[b] or (priority[a] == priority[b] and a < b)


@njit(cache=True)
def _sift_up(heap: Any, place: Any, priority: Any, at: int) -> int:
    item = heap[at]
    while at > 0:
        parent = (at - 1) >> 1
        if not _before(priority, item, heap[parent]):
            break
        heap[at] = heap[parent]
        place[heap[at]] = at
        at = parent
    heap[at] = item
    place[item] = at
    return at


@njit(cache=True)
def _sift_down(heap: Any, place: Any, priority: Any, at: int, held: int) -> None:
    item = heap[at]
    while True:
        child = 2 * at + 1
        if child >= held:
            break
        if child + 1 < held and _before(priority, heap[child + 1], heap[child]):
            child += 1
        if not _before(priority, heap[child], item):
            break
        heap[at] = heap[child]
        place[heap[at]] = at
        at = child
    heap[at] = item
    place[item] = at


@njit(cache=True)
def _pop(heap: Any, place: Any, priority: Any, size: Any, fill: Any) -> None:
    """Evicts the lowest. It stays in `heap` just past the held ones until something follows."""
    lowest = heap[0]
    last = fill[HELD] - 1
    heap[0] = heap[last]
    heap[last] = lowest
    fill[HELD] = last
    fill[USED] -= size[lowest]
    if last > 0:
        # Typed: numba compiles a kernel for each literal that it is given, and again for the type.
        _sift_down(heap, place, priority, np.int64(0), last)
    place[lowest] = -1


@njit(cache=True)
def _push(heap: Any, place: Any, priority: Any, size: Any, fill: Any, item: int) -> None:
    held = fill[HELD]
    heap[held] = item
    fill[HELD] = held + 1
    fill[USED] += size[item]
    _sift_up(heap, place, priority, held)


@njit(cache=True)
def reorder(heap: Any, place: Any, priority: Any, size: Any, fill: Any) -> None:
    """Makes a heap of the held objects again after their priorities, sizes or indices changed.

    `place` has to be -1 for every object that is not held. What exceeds the capacity is evicted,
    the lowest first.
    """
    held = fill[HELD]
    fill[USED] = 0
    for at in range(held):
        place[heap[at]] = at
        fill[USED] += size[heap[at]]
    for at in range(held // 2 - 1, -1, -1):
        _sift_down(heap, place, priority, at, held)
    trim(heap, place, priority, size, fill)


@njit(cache=True)
def trim(heap: Any, place: Any, priority: Any, size: Any, fill: Any) -> None:
    """Evicts the lowest until the held objects fit."""
    while fill[USED] > fill[CAPACITY]:
        _pop(heap, place, priority, size, fill)


@njit(cache=True)
def moved(heap: Any, place: Any, priority: Any, fill: Any, item: int) -> None:
    """Restores the heap's order after the priority of one held object changed."""
    at = _sift_up(heap, place, priority, np.int64(place[item]))
    _sift_down(heap, place, priority, at, fill[HELD])


@njit(cache=True)
def request(heap: Any, place: Any, priority: Any, size: Any, fill: Any, item: int) -> bool:
    """One request for `item`, whose priority is up to date; True for a hit.

    On a miss the lowest objects make room, but only those below the newcomer: where that is not
    enough the newcomer is refused and nothing is evicted.
    """
    if place[item] >= 0:
        moved(heap, place, priority, fill, item)
        return True
    wanted = size[item]
    if wanted > fill[CAPACITY]:
        return False
    held = fill[HELD]
    while fill[USED] + wanted > fill[CAPACITY] and priority[heap[0]] < priority[item]:
        _pop(heap, place, priority, size, fill)
    if fill[USED] + wanted <= fill[CAPACITY]:
        _push(heap, place, priority, size, fill, item)
    else:
        while fill[HELD] < held:
            _push(heap, place, priority, size, fill, heap[fill[HELD]])
    return False


@njit(cache=True)
def outgrown(
    heap: Any, place: Any, priority: Any, size: Any, fill: Any, item: int, gain: int
) -> None:
    """Makes room after `size[item]` rose by `gain` units, if the cache holds the item.

    The priority of the item may have changed too.
    """
    if place[item] >= 0:
        fill[USED] += gain
        moved(heap, place, priority, fill, item)
        trim(heap, place, priority, size, fill)


def grown(array: Any, length: int, fill: float) -> Any:
    """`array` with its last axis lengthened to `length`, the new part filled with `fill`."""
    wider = np.full((*array.shape[:-1], length), fill, array.dtype)
    wider[..., : array.shape[-1]] = array
    return wider
