"""What a cache could do at most that knew all requests to come (Belady, IBM Systems Journal 1966).

Objects that weigh alike: the resident whose next request lies furthest ahead is evicted. The
newcomer is one of those compared, so an object that is needed again last of all is not let in, as
the caches by score may refuse one too; that is the highest hit ratio there can be. `bypass=False`
lets every newcomer in, as the textbook has it, and is a little lower.

Objects with sizes: the best is not known in reasonable time. The approximation here evicts what
takes most room for longest for what it is worth: the highest

    bytes x requests until the next / worth of an answer (`Workload.worths`)

among `SAMPLE` residents and the newcomer, until the newcomer fits; if it is itself the highest it
is refused and nothing is evicted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.caches.workload import Workload
from models.kernels import heap

SAMPLE = 128  # residents looked at for each eviction where sizes differ


def next_requests(objects: NDArray[np.int32]) -> NDArray[np.int64]:
    """Position of the next request for the same object, shape (requests,); their number if none."""
    following = np.full(objects.size, objects.size, np.int64)
    order = np.argsort(objects, kind="stable")
    same = objects[order[:-1]] == objects[order[1:]]
    following[order[:-1][same]] = order[1:][same]
    return following


def replay(workload: Workload, capacity: int, *, bypass: bool = True) -> NDArray[np.bool_]:
    """Whether each request was a hit, shape (requests,).

    Args:
        workload: its objective matters where objects have sizes.
        capacity: in the workload's unit.
        bypass: whether a newcomer may be refused; with sizes it always may.
    """
    following = next_requests(workload.objects)
    hits = np.zeros(len(workload), np.bool_)
    objects = workload.sizes.size
    place = np.full(objects, -1, np.int32)
    if workload.unit == "bytes":
        burden = workload.sizes / workload.worths(workload.objective)
        _replay_sizes(
            workload.objects, following, workload.sizes, burden,
            np.zeros(objects, np.int32), place, capacity, hits,
        )  # fmt: skip
    else:
        held = np.zeros(min(capacity, objects) + 1, np.int32)
        fill = np.zeros(3, np.int64)
        fill[heap.CAPACITY] = capacity
        _replay_units(
            workload.objects, following, held, place, np.zeros(objects),
            np.ones(objects, np.int64), fill, bypass, hits,
        )  # fmt: skip
    return hits


@njit(cache=True, nogil=True)
def _replay_units(
    objects: Any, following: Any, held: Any, place: Any, priority: Any, size: Any, fill: Any,
    bypass: bool, hits: Any,
) -> None:  # fmt: skip
    for position in range(objects.size):
        item = objects[position]
        if not bypass and place[item] < 0:
            priority[item] = np.inf  # above every resident for the moment in which it comes
            heap.request(held, place, priority, size, fill, item)
            priority[item] = -following[position]
            heap.moved(held, place, priority, fill, item)
        else:
            priority[item] = -following[position]
            hits[position] = heap.request(held, place, priority, size, fill, item)


@njit(cache=True, nogil=True)
def _replay_sizes(
    objects: Any, following: Any, size: Any, burden: Any, held: Any, place: Any, capacity: int,
    hits: Any,
) -> None:  # fmt: skip
    """`burden` is what an object costs the cache for each request that it waits for its next."""
    upcoming = np.zeros(size.size, np.int64)
    state = np.uint64(1)  # of the generator that draws residents
    count = 0
    used = 0
    for position in range(objects.size):
        item = objects[position]
        upcoming[item] = following[position]
        if place[item] >= 0:
            hits[position] = True
            continue
        if size[item] > capacity:
            continue
        own = burden[item] * (following[position] - position)
        before, room = count, used
        while used + size[item] > capacity:
            worst, at = own, -1
            for draw in range(min(SAMPLE, count)):
                candidate = draw
                if count > SAMPLE:
                    state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
                    candidate = int(state >> np.uint64(33)) % count
                resident = held[candidate]
                cost = burden[resident] * (upcoming[resident] - position)
                if cost > worst:
                    worst, at = cost, candidate
            if at < 0:
                break
            count -= 1
            victim = held[at]
            used -= size[victim]
            # Victims stay behind the held ones until something follows, so that they can return.
            held[at] = held[count]
            held[count] = victim
            place[held[at]] = at
            place[victim] = -1
        if used + size[item] <= capacity:
            held[count] = item
            place[item] = count
            count += 1
            used += size[item]
        else:
            for back in range(count, before):
                place[held[back]] = back
            count, used = before, room
