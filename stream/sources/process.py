"""State of the simulated process in plain arrays: its laws, its clock, its heap of pending shares.

`branching` lets things happen with it. The arrays change in place, so that a compiled call can
stop after any event and go on later.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

DAY = 86_400.0
HOUR = 3_600.0
# Most children one event may have; bounds the room that a step can need.
MOST_CHILDREN = 20_000


class Laws(NamedTuple):
    """Parameters of the process; one row a population, P of them.

    Attributes:
        birth_rate: cascades a second, shape (P,).
        activity: cumulated seconds of the population's own time at each hour of the day, shape
            (P + 1, 25); the last row is that of the requests.
        size: median and log spread below and above it, shape (P, 3).
        reshares: alpha and beta of the share of re-shares, 0 where there are none, shape (P, 2).
        audience: spread of the log of an audience, shape (P,).
        direct_scale: median (seconds) and log spread below and above it, shape (P, 3).
        direct_exponent: shape (P,).
        reshare_law: scale (seconds) and exponent, shape (P, 2).
        fame: standard normal of each user, shape (users,), the same in all populations.
        catalogue: cumulated probability of each object, shape (objects,).
        lifetime: seconds, a whole number of days.
        request_rate: requests a second.
        driven: share of requests that follow cascades.
        recency_scale, recency_exponent: Lomax law of how long ago the share was.
        kept_shares: probability that a share is remembered for requests, once there are many.
        locality: share of an object's requests that its favourite edge gets beside its equal part.
        edges, clients: how many edges, and clients of each.
    """

    birth_rate: NDArray[np.float64]
    activity: NDArray[np.float64]
    size: NDArray[np.float64]
    reshares: NDArray[np.float64]
    audience: NDArray[np.float64]
    direct_scale: NDArray[np.float64]
    direct_exponent: NDArray[np.float64]
    reshare_law: NDArray[np.float64]
    fame: NDArray[np.float32]
    catalogue: NDArray[np.float64]
    lifetime: float
    request_rate: float
    driven: float
    recency_scale: float
    recency_exponent: float
    kept_shares: float
    locality: float
    edges: int
    clients: int


# Rows of `State.counters`.
PENDING, LIVE, BORN, RECENT, CUT, REFUSED = range(6)


class State(NamedTuple):
    """Where the process is. Pending shares are a heap by time over four parallel arrays.

    Attributes:
        counters: int64; see `PENDING` (shares in the heap), `LIVE` (cascades), `BORN`, `RECENT`
            (shares remembered so far, the last of them in the ring), `CUT` (shares that found no
            room) and `REFUSED` (cascades that found none).
        next_times: of each population's next cascade, then of the next request, shape (P + 1,).
        heap_time, heap_slot, heap_parent, heap_user: shape (pending capacity,); user of the parent.
        number, born, population, reproduction, shares, waiting: of the live cascades by slot;
            number of the cascade, time, law, expected re-shares of a share, events so far, pending.
        free: slots not in use, the first capacity - LIVE of them.
        ring_time, ring_cascade: a sample of the shares, for requests; the oldest give way.
        kept: probability that a share enters it, shape (1,); halved with the sample when that is
            full, down to `Laws.kept_shares`.
    """

    counters: NDArray[np.int64]
    next_times: NDArray[np.float64]
    heap_time: NDArray[np.float64]
    heap_slot: NDArray[np.int32]
    heap_parent: NDArray[np.int32]
    heap_user: NDArray[np.int32]
    number: NDArray[np.int64]
    born: NDArray[np.float64]
    population: NDArray[np.int32]
    reproduction: NDArray[np.float64]
    shares: NDArray[np.int32]
    waiting: NDArray[np.int32]
    free: NDArray[np.int32]
    ring_time: NDArray[np.float64]
    ring_cascade: NDArray[np.int64]
    kept: NDArray[np.float64]


class Rows(NamedTuple):
    """What happened, in order of time; columns of equal length.

    A post or share: `population` is its law, `number` its cascade, `place` its own number in the
    cascade, `parent` that of its parent (-1: none), `who` its user and `parent_user` the parent's.
    A request: `population` is -1, `number` a cascade or -1 - the object's rank in the catalogue,
    `place` the edge and `who` the client.
    """

    time: NDArray[np.float64]
    population: NDArray[np.int32]
    number: NDArray[np.int64]
    place: NDArray[np.int32]
    parent: NDArray[np.int32]
    who: NDArray[np.int32]
    parent_user: NDArray[np.int32]


@numba.njit(cache=True)
def activity_at(table: NDArray[np.float64], time: float) -> float:
    """The population's own time at unix time `time`: flat rhythm, same length of day."""
    days = np.floor(time / DAY)
    rest = time - days * DAY
    hour = min(int(rest / HOUR), 23)
    part = (rest - hour * HOUR) / HOUR
    return days * DAY + table[hour] + part * (table[hour + 1] - table[hour])


@numba.njit(cache=True)
def time_at(table: NDArray[np.float64], activity: float) -> float:
    """Inverse of `activity_at`."""
    days = np.floor(activity / DAY)
    rest = activity - days * DAY
    hour = min(max(np.searchsorted(table, rest, side="right") - 1, 0), 23)
    part = (rest - table[hour]) / (table[hour + 1] - table[hour])
    return days * DAY + (hour + min(part, 1.0)) * HOUR


@numba.njit(cache=True)
def lomax(uniform: float, scale: float, exponent: float, longest: float) -> float:
    """Quantile `uniform` of the Lomax law cut at `longest`."""
    mass = -np.expm1(-exponent * np.log1p(longest / scale))
    return min(scale * np.expm1(-np.log1p(-uniform * mass) / exponent), longest)


@numba.njit(cache=True)
def two_piece(random: np.random.Generator, law: NDArray[np.float64]) -> float:
    """A draw whose log is normal with one spread below its median and another above."""
    z = random.standard_normal()
    return law[0] * np.exp(z * (law[1] if z < 0 else law[2]))


@numba.njit(cache=True)
def push(state: State, time: float, slot: int, parent: int, user: int) -> None:
    """Puts a share that is to come into the heap."""
    place = state.counters[PENDING]
    state.counters[PENDING] += 1
    while place > 0:
        above = (place - 1) // 2
        if state.heap_time[above] <= time:
            break
        _move(state, above, place)
        place = above
    _put(state, place, time, slot, np.int32(parent), np.int32(user))


@numba.njit(cache=True)
def pop(state: State) -> None:
    """Takes the first share out of the heap; the caller has read it."""
    state.counters[PENDING] -= 1
    last = state.counters[PENDING]
    time = state.heap_time[last]
    place = np.int64(0)  # of one type with those that follow, so that the helpers are compiled once
    while True:
        below = 2 * place + 1
        if below >= last:
            break
        if below + 1 < last and state.heap_time[below + 1] < state.heap_time[below]:
            below += 1
        if time <= state.heap_time[below]:
            break
        _move(state, below, place)
        place = below
    _put(state, place, time, state.heap_slot[last], state.heap_parent[last], state.heap_user[last])


@numba.njit(cache=True)
def _move(state: State, source: int, target: int) -> None:
    state.heap_time[target] = state.heap_time[source]
    state.heap_slot[target] = state.heap_slot[source]
    state.heap_parent[target] = state.heap_parent[source]
    state.heap_user[target] = state.heap_user[source]


@numba.njit(cache=True)
def _put(state: State, place: int, time: float, slot: int, parent: int, user: int) -> None:
    state.heap_time[place] = time
    state.heap_slot[place] = slot
    state.heap_parent[place] = parent
    state.heap_user[place] = user
