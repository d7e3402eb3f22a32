"""The branching process behind the simulator, compiled: cascades, their shares, and requests.

A cascade is a self-exciting point process in its branching form (Hawkes and Oakes 1974, "A cluster
process representation of a self-exciting process"), with marks and a power-law memory as in Mishra,
Rizoiu and Xie 2016, "Feature driven and point process approaches for popularity prediction":

* the post draws a size, a share of re-shares r and a time scale; it gets Poisson((size - 1)(1 - r))
  direct shares, whose delays follow a Lomax law, P(delay > s) = (1 + s / scale)^-exponent;
* every share by a user of audience a (log-normal, mean 1) gets Poisson(r a) shares of its own,
  after delays by a Lomax law that is the same for all cascades of a population;
* both laws are cut at the cascade's lifetime, and run in the population's own time, in which its
  day's rhythm is flat.

Requests are a Poisson process with a rhythm of its own. A driven request asks for the content of
a share made a Lomax-distributed while ago, so a content's rate follows its recent shares; the
others ask a catalogue of Zipf popularity.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from stream.sources.process import (
    BORN,
    CUT,
    LIVE,
    MOST_CHILDREN,
    PENDING,
    RECENT,
    REFUSED,
    Laws,
    Rows,
    State,
    activity_at,
    lomax,
    pop,
    push,
    time_at,
    two_piece,
)  # fmt: skip

# Typed: numba compiles a kernel for each literal that it is given, and again for the type.
_FIRST = np.int32(0)
_NOBODY = np.int32(-1)


@numba.njit(cache=True)
def _spawn(
    laws: Laws, state: State, random: np.random.Generator,
    slot: int, place: int, user: int, now: float, mean: float, scale: float, exponent: float,
) -> None:  # fmt: skip
    """Draws the children of an event and puts them into the heap."""
    children = min(random.poisson(mean), MOST_CHILDREN)
    room = len(state.heap_time) - state.counters[PENDING]
    if children > room:
        state.counters[CUT] += children - room
        children = room
    table = laws.activity[state.population[slot]]
    activity = activity_at(table, now)
    left = max(activity_at(table, state.born[slot]) + laws.lifetime - activity, 1e-3)
    for _ in range(children):
        delay = lomax(random.random(), scale, exponent, left)
        push(state, max(time_at(table, activity + delay), now), slot, place, user)
    state.waiting[slot] += children
    if state.waiting[slot] == 0:
        state.counters[LIVE] -= 1
        state.free[len(state.free) - state.counters[LIVE] - 1] = slot


@numba.njit(cache=True)
def _note(
    laws: Laws, state: State, rows: Rows, row: int, random: np.random.Generator,
    now: float, slot: int, parent: int, user: int, parent_user: int,
) -> None:  # fmt: skip
    """Writes an event down, and remembers it for requests."""
    rows.time[row] = now
    rows.population[row] = state.population[slot]
    rows.number[row] = state.number[slot]
    rows.place[row] = state.shares[slot]
    rows.parent[row] = parent
    rows.who[row] = user
    rows.parent_user[row] = parent_user
    state.shares[slot] += 1
    if random.random() < state.kept[0]:
        remember(state, laws.kept_shares, now, state.number[slot])


@numba.njit(cache=True)
def remember(state: State, fewest: float, now: float, cascade: int) -> None:
    """Keeps a share for requests to follow; `State.kept` and the ring stay a fair sample."""
    size = len(state.ring_time)
    if state.counters[RECENT] == size and state.kept[0] > fewest:
        half = size // 2
        for place in range(half):
            state.ring_time[place] = state.ring_time[2 * place]
            state.ring_cascade[place] = state.ring_cascade[2 * place]
        state.counters[RECENT] = half
        state.kept[0] = max(state.kept[0] / 2, fewest)
    place = state.counters[RECENT] % size
    state.ring_time[place] = now
    state.ring_cascade[place] = cascade
    state.counters[RECENT] += 1


@numba.njit(cache=True)
def _post(
    laws: Laws, state: State, rows: Rows, row: int, random: np.random.Generator,
    population: int, now: float,
) -> None:  # fmt: skip
    """Starts a cascade."""
    slot = state.free[len(state.free) - state.counters[LIVE] - 1]
    state.counters[LIVE] += 1
    user = int(random.random() * len(laws.fame))
    alpha, beta = laws.reshares[population]
    reshares = min(random.beta(alpha, beta), 0.95) if alpha > 0 else 0.0
    size = two_piece(random, laws.size[population])
    scale = two_piece(random, laws.direct_scale[population])
    state.number[slot] = state.counters[BORN]
    state.counters[BORN] += 1
    state.born[slot] = now
    state.population[slot] = population
    state.reproduction[slot] = reshares
    state.shares[slot] = 0
    state.waiting[slot] = 0
    _note(laws, state, rows, row, random, now, slot, _NOBODY, user, _NOBODY)
    mean = max(size - 1, 0.0) * (1 - reshares)
    exponent = laws.direct_exponent[population]
    _spawn(laws, state, random, slot, _FIRST, user, now, mean, scale, exponent)


@numba.njit(cache=True)
def _share(laws: Laws, state: State, rows: Rows, row: int, random: np.random.Generator) -> None:
    """Lets the first pending share happen."""
    now = state.heap_time[0]
    slot = state.heap_slot[0]
    parent = state.heap_parent[0]
    parent_user = state.heap_user[0]
    pop(state)
    state.waiting[slot] -= 1
    user = int(random.random() * len(laws.fame))
    place = state.shares[slot]
    _note(laws, state, rows, row, random, now, slot, parent, user, parent_user)
    population = state.population[slot]
    spread = laws.audience[population]
    audience = np.exp(spread * laws.fame[user] - spread * spread / 2)
    scale, exponent = laws.reshare_law[population]
    mean = state.reproduction[slot] * audience
    _spawn(laws, state, random, slot, place, user, now, mean, scale, exponent)


@numba.njit(cache=True)
def _recent_cascade(laws: Laws, state: State, random: np.random.Generator, now: float) -> int:
    """The cascade of a share made a Lomax-distributed while ago."""
    size = len(state.ring_time)
    newest = state.counters[RECENT]
    oldest = max(newest - size, 0)
    longest = max(now - state.ring_time[oldest % size], 1e-3)
    lag = lomax(random.random(), laws.recency_scale, laws.recency_exponent, longest)
    low, high = oldest, newest  # the last share at or before now - lag is in [low, high)
    while high - low > 1:
        middle = (low + high) // 2
        if state.ring_time[middle % size] <= now - lag:
            low = middle
        else:
            high = middle
    return state.ring_cascade[low % size]


@numba.njit(cache=True)
def _mix(value: int) -> int:
    """A well-spread hash of a number, not negative (finaliser of MurmurHash3)."""
    mixed = np.uint64(value)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    mixed ^= mixed >> np.uint64(33)
    return int(mixed >> np.uint64(1))


@numba.njit(cache=True)
def _request(
    laws: Laws, state: State, rows: Rows, row: int, random: np.random.Generator, now: float
) -> None:
    """One request for a content or for an object of the catalogue."""
    if random.random() < laws.driven and state.counters[RECENT] > 0:
        item = _recent_cascade(laws, state, random, now)
    else:
        rank = int(np.searchsorted(laws.catalogue, random.random(), side="right"))
        item = -1 - min(rank, len(laws.catalogue) - 1)
    edge = _mix(item) % laws.edges
    if random.random() >= laws.locality:
        edge = int(random.random() * laws.edges)
    rows.time[row] = now
    rows.population[row] = -1
    rows.number[row] = item
    rows.place[row] = edge
    rows.parent[row] = -1
    rows.who[row] = int(random.random() ** 2 * laws.clients)  # some ask more than others
    rows.parent_user[row] = -1


@numba.njit(cache=True)
def _after(
    random: np.random.Generator, table: NDArray[np.float64], now: float, rate: float
) -> float:
    """The next time of a Poisson process that follows a day's rhythm."""
    if rate <= 0:
        return np.inf
    return max(time_at(table, activity_at(table, now) + random.exponential(1 / rate)), now)


@numba.njit(cache=True)
def begin(laws: Laws, state: State, random: np.random.Generator, start: float) -> None:
    """Draws the first cascade of each population and the first request."""
    for law in range(len(laws.birth_rate)):
        state.next_times[law] = _after(random, laws.activity[law], start, laws.birth_rate[law])
    state.next_times[-1] = _after(random, laws.activity[-1], start, laws.request_rate)


@numba.njit(cache=True)
def advance(
    laws: Laws, state: State, rows: Rows, random: np.random.Generator,
    most_born: int, most_pending: int, most_live: int,
) -> int:  # fmt: skip
    """Lets up to len(rows.time) things happen.

    Args:
        most_born: cascades that may be born in all; then the process runs dry.
        most_pending, most_live: how large the arrays of `state` may grow. Below that the call
            stops before they are full; at it, shares or cascades without room are left out and
            counted.

    Returns:
        rows written: fewer than there is room for when `state` has to grow first, or at the end.
    """
    populations = len(laws.birth_rate)
    row = int(np.int64(0))  # else a literal 0, for which all that it is given to is compiled too
    while row < len(rows.time):
        if state.counters[PENDING] + MOST_CHILDREN > len(state.heap_time) < most_pending:
            return row
        if state.counters[LIVE] == len(state.free) < most_live:
            return row
        which = np.argmin(state.next_times)
        now = state.next_times[which]
        if state.counters[PENDING] and state.heap_time[0] <= now:
            _share(laws, state, rows, row, random)
            row += 1
        elif now == np.inf:
            return row
        elif which == populations:
            _request(laws, state, rows, row, random, now)
            state.next_times[which] = _after(random, laws.activity[which], now, laws.request_rate)
            row += 1
        else:
            if state.counters[LIVE] < len(state.free):
                _post(laws, state, rows, row, random, which, now)
                row += 1
            else:
                state.counters[REFUSED] += 1
            state.next_times[which] = _after(
                random, laws.activity[which], now, laws.birth_rate[which]
            )
            if state.counters[BORN] >= most_born:
                state.next_times[:] = np.inf
    return row
