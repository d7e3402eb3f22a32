"""The compiled half of the cascade store; `stream.tracker.store`, its caller, states the rules.

`ingest` stops early when the columns of fired records are full, and is called again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream.tracker.activity import link_newest, unlink
from stream.tracker.columns import CHUNK, CLOSED_KEY, RECENT
from stream.tracker.key_table import FREE, find, forget
from stream.tracker.packing import AGE, GROWTH, OUTCOME, UNKNOWN, emit
from stream.tracker.timers import pop_timer, push_timer

ACCEPTED, DUPLICATE, CLOSED, BEFORE_ROOT, TOO_OLD, IN_FUTURE = range(6)
ROOT = -1  # a parent that is not an index, as UNKNOWN is
NONE = np.uint64(0)  # the hash of no identifier


class Rules(NamedTuple):
    """The settings of the store. Times in seconds."""

    ages: NDArray[np.float64]  # the last is the cascade's end
    takes_snapshot: NDArray[np.bool_]
    takes_outcome: NDArray[np.bool_]
    lateness: float
    oldest: float  # how far behind the watermark a cascade may begin
    skew: float
    growth_first: int
    growth_factor: float
    max_events: int
    max_cascades: int
    bin_edges: NDArray[np.float64]


class Batch(NamedTuple):
    """Columns of a batch of events, each of shape (events,)."""

    cascade: NDArray[np.uint64]
    event: NDArray[np.uint64]
    user: NDArray[np.uint64]
    parent: NDArray[np.uint64]
    parent_user: NDArray[np.uint64]
    time: NDArray[np.float64]
    root: NDArray[np.bool_]
    believed: NDArray[np.bool_]  # not of the future
    clock: NDArray[np.float64]  # how far event time has come with it


@njit(cache=True)
def ingest(rules, state, batch, position, watermark, verdicts, opened):
    """Takes in the events from `position` on, then moves the watermark to `watermark`.

    Writes a verdict for each event and, for each that opened a cascade, its slot into `opened`.
    Returns the position reached, and whether all is done; if not, drain and call again.
    """
    tally = state.tally[0]
    events = len(batch.time)
    i = position
    while True:
        # What the event before made due (its root came late, it woke) is due to that event alone.
        if not _fire_due(rules, state, i - 1):
            return i, False
        if i < events and not batch.believed[i]:
            verdicts[i] = IN_FUTURE
            i += 1
            continue
        reached = batch.clock[i] - rules.lateness if i < events else watermark
        tally.watermark = max(tally.watermark, reached)
        if not _fire_due(rules, state, min(i, events - 1)):
            return i, False
        if i == events:
            return i, True
        if not _has_room(rules, state):
            return i, False
        verdicts[i] = _apply(rules, state, batch, i, opened)
        i += 1


@njit(cache=True)
def _apply(rules, state, batch, i, opened):
    """Adds event i to its cascade, which it may open; takes a growth snapshot when it is due."""
    tally, slots = state.tally[0], state.slots
    time = batch.time[i]
    place = find(state.keys, state.key_slots, batch.cascade[i])
    slot = state.key_slots[place]
    if slot == CLOSED_KEY:
        return CLOSED
    if slot == FREE:
        if time < tally.watermark - rules.oldest:
            return TOO_OLD
        slot = _open(rules, state, batch.cascade[i], time)
        opened[i] = slot
    cascade = slots[slot]
    # Past its end it is closed, whether or not the watermark has come there yet.
    last = len(rules.ages) - 1
    end = cascade.due if cascade.next_age == last else cascade.published + rules.ages[last]
    if cascade.count >= rules.growth_first and time > end:
        return CLOSED
    parent, duplicate = _look_up(state, cascade, batch.event[i], batch.parent[i],
                                 batch.parent_user[i])  # fmt: skip
    if duplicate:
        return DUPLICATE
    if cascade.rooted and time < cascade.published - rules.skew:
        return BEFORE_ROOT
    if time < cascade.published - rules.oldest:
        return TOO_OLD

    # Past the first age it comes too late to be the root: whether a trigger has fired without it
    # is up to the others of the partition, whose watermark it is.
    is_root = batch.root[i] and not cascade.rooted and time <= cascade.published + rules.ages[0]
    if is_root or (not cascade.rooted and time < cascade.published):
        # Not of one that woke and ends at a time of its own.
        follows = np.isnan(cascade.due) or (
            cascade.due == cascade.published + rules.ages[cascade.next_age]
        )
        due = time + rules.ages[cascade.next_age] if follows else cascade.due
        cascade.published = time
        cascade.behind = max(cascade.behind, tally.watermark - time)
        _set_due(state, slot, due)
    cascade.rooted |= is_root
    if is_root:
        parent = ROOT
    elif parent == UNKNOWN:
        tally.unknown_parents += 1
    if time < tally.watermark:
        tally.late += 1
    if cascade.kept < rules.max_events:
        _keep(state, cascade, batch.event[i], batch.user[i], parent, time)
    else:
        _count_rest(rules, state, cascade, batch.event[i], time)
    cascade.latest = max(cascade.latest, time)
    cascade.count += 1
    unlink(state, slot)
    link_newest(state, slot)
    if cascade.count >= cascade.next_growth:
        age = max(0.0, cascade.latest - cascade.published)
        emit(state, GROWTH, slot, cascade.next_growth, age, cascade.count, i, np.inf)
        grown = np.int64(cascade.next_growth * rules.growth_factor)
        cascade.next_growth = max(grown, cascade.next_growth + 1)
        outlived = age > rules.ages[-1]
        if cascade.count == rules.growth_first and (outlived or np.isnan(cascade.due)):  # it wakes
            cascade.next_age = len(rules.ages) - 1
            begin = cascade.latest if outlived else cascade.published
            _set_due(state, slot, begin + rules.ages[-1])
    return ACCEPTED


@njit(cache=True)
def _open(rules, state, key, time):
    """A new cascade, without events; the one idle longest makes room when there are too many."""
    tally = state.tally[0]
    if tally.live >= rules.max_cascades:
        tally.evicted += 1
        _close(state, np.int32(tally.oldest))  # the type of every slot
    tally.free_slots -= 1
    slot = state.free_slots[tally.free_slots]
    cascade = state.slots[slot]
    cascade.key = key
    cascade.published = time
    cascade.latest = time
    cascade.behind = max(0.0, tally.watermark - time)
    cascade.count = 0
    cascade.kept = 0
    cascade.first = -1
    cascade.last = -1
    cascade.rest = -1
    cascade.next_growth = rules.growth_first
    cascade.next_age = 0
    cascade.rooted = False
    cascade.in_order = True
    # Found anew, for closing another cascade may have moved the free place.
    place = find(state.keys, state.key_slots, key)
    state.keys[place] = key
    state.key_slots[place] = slot
    tally.keys += 1
    tally.live += 1
    link_newest(state, slot)
    _set_due(state, slot, time + rules.ages[0])
    return slot


@njit(cache=True)
def _close(state, slot):
    """Ends a cascade. Its hash stays known; its slot is freed when the records have been read."""
    tally = state.tally[0]
    cascade = state.slots[slot]
    chunk = cascade.first
    while chunk >= 0:
        state.free_chunks[tally.free_chunks] = chunk
        tally.free_chunks += 1
        chunk = state.chunks[chunk].next
    if cascade.rest >= 0:
        state.free_rests[tally.free_rests] = cascade.rest
        tally.free_rests += 1
    unlink(state, slot)
    cascade.due = np.nan
    tally.live -= 1
    tally.kept -= cascade.kept
    state.closing[tally.closing] = slot
    tally.closing += 1
    state.key_slots[find(state.keys, state.key_slots, cascade.key)] = CLOSED_KEY
    oldest = tally.closed % len(state.closed)
    if tally.closed >= len(state.closed):
        forget(state.keys, state.key_slots, state.closed[oldest])
        tally.keys -= 1
    state.closed[oldest] = cascade.key
    tally.closed += 1


# --------------------------------------------------------------------------- events of a cascade


@njit(cache=True)
def _look_up(state, cascade, event, parent, parent_user):
    """The index of the parent in order of arrival, or UNKNOWN; and whether `event` is known."""
    by_event, by_user = UNKNOWN, UNKNOWN
    chunk = cascade.first
    base = 0
    while chunk >= 0:
        row = state.chunks[chunk]
        for j in range(min(CHUNK, cascade.kept - base)):
            if row.event[j] == event:
                return UNKNOWN, True
            if row.event[j] == parent:
                by_event = base + j
            if by_user == UNKNOWN and row.user[j] == parent_user:
                by_user = base + j
        base += CHUNK
        chunk = row.next
    if cascade.rest >= 0 and state.rests[cascade.rest].recent[event % np.uint64(RECENT)] == event:
        return UNKNOWN, True
    if parent != NONE and by_event != UNKNOWN:
        return by_event, False
    return by_user if parent_user != NONE else UNKNOWN, False


@njit(cache=True)
def _keep(state, cascade, event, user, parent, time):
    """Appends an event to the cascade's chunks."""
    tally = state.tally[0]
    j = cascade.kept % CHUNK
    if j == 0:
        tally.free_chunks -= 1
        chunk = state.free_chunks[tally.free_chunks]
        state.chunks[chunk].next = -1
        if cascade.last >= 0:
            state.chunks[cascade.last].next = chunk
        else:
            cascade.first = chunk
        cascade.last = chunk
    row = state.chunks[cascade.last]
    if cascade.kept > 0 and time < cascade.latest:
        cascade.in_order = False
    row.time[j] = time
    row.event[j] = event
    row.user[j] = user
    row.parent[j] = parent
    row.depth[j] = 0 if parent == ROOT else 1 if parent == UNKNOWN else _depth(
        state, cascade, parent) + 1  # fmt: skip
    cascade.kept += 1
    tally.kept += 1


@njit(cache=True)
def _depth(state, cascade, index):
    chunk = cascade.first
    for _ in range(index // CHUNK):
        chunk = state.chunks[chunk].next
    return state.chunks[chunk].depth[index % CHUNK]


@njit(cache=True)
def _count_rest(rules, state, cascade, event, time):
    """Counts an event past the bound by its delay, and remembers its hash for a while."""
    tally = state.tally[0]
    if cascade.rest < 0:
        tally.free_rests -= 1
        cascade.rest = state.free_rests[tally.free_rests]
        state.rests[cascade.rest].counts[:] = 0
        state.rests[cascade.rest].recent[:] = NONE
    rest = state.rests[cascade.rest]
    rest.counts[np.searchsorted(rules.bin_edges, time - cascade.published)] += 1
    rest.recent[event % np.uint64(RECENT)] = event


# --------------------------------------------------------------------------- triggers


@njit(cache=True)
def _set_due(state, slot, time):
    """Sets the event time of a cascade's next trigger; one that began late is waited for."""
    cascade = state.slots[slot]
    cascade.due = time
    push_timer(state, time + cascade.behind, slot)


@njit(cache=True)
def _has_room(rules, state):
    """Whether two more records and one more closed cascade can be written out."""
    tally = state.tally[0]
    return (
        tally.fired + 2 <= len(state.fired)
        and tally.packed + rules.max_events <= len(state.delay)
        and tally.packed_rests < len(state.packed_rest)
        and tally.closing < len(state.closing)
    )


@njit(cache=True)
def _fire_due(rules, state, cause):
    """Fires what the watermark has passed, in order of time; False when out of room."""
    tally = state.tally[0]
    while tally.timers > 0 and state.timers[0].time < tally.watermark:
        if not _has_room(rules, state):
            return False
        goes_off, slot = state.timers[0].time, state.timers[0].slot
        pop_timer(state)
        cascade = state.slots[slot]
        time = cascade.due
        if time + cascade.behind != goes_off:
            continue
        k = cascade.next_age
        # One that woke late ends at a time of its own.
        age = (
            rules.ages[k] if time == cascade.published + rules.ages[k] else time - cascade.published
        )
        count = _count_until(rules, state, cascade, time, age)
        last = k + 1 == len(rules.ages)
        if last and cascade.count < rules.growth_first:
            cascade.due = np.nan  # dormant: no forecast was made, and none is owed an outcome
            continue
        if count >= rules.growth_first:
            if rules.takes_snapshot[k]:
                emit(state, AGE, slot, np.int64(age), age, count, cause, time)
            if rules.takes_outcome[k]:
                emit(state, OUTCOME, slot, np.int64(last), age, count, cause, time)
        if last:
            _close(state, slot)
        else:
            cascade.next_age = k + 1
            _set_due(state, slot, cascade.published + rules.ages[k + 1])
    return True


@njit(cache=True)
def _count_until(rules, state, cascade, time, age):
    """Events up to `time`, which is `age` seconds after publication and an edge of the bins."""
    count = 0
    chunk = cascade.first
    base = 0
    while chunk >= 0:
        row = state.chunks[chunk]
        for j in range(min(CHUNK, cascade.kept - base)):
            count += row.time[j] <= time
        base += CHUNK
        chunk = row.next
    if cascade.rest >= 0:
        bins = np.searchsorted(rules.bin_edges, age) + 1
        count += state.rests[cascade.rest].counts[:bins].sum()
    return count


# --------------------------------------------------------------------------- for the caller


@njit(cache=True)
def find_slot(state, key):
    """The slot of a live cascade, or a negative number."""
    if len(state.keys) == 0:
        return FREE
    return state.key_slots[find(state.keys, state.key_slots, key)]


@njit(cache=True)
def pack(state, slot):
    """Packs a cascade's kept events to the front of the packed columns, until `clear`."""
    none = np.int64(0)
    emit(state, GROWTH, np.int32(slot), none, 0.0, state.slots[slot].count, none, np.inf)


@njit(cache=True)
def clear(state):
    """Forgets the fired records, and frees the slots of closed cascades, which it returns."""
    tally = state.tally[0]
    closed = state.closing[: tally.closing].copy()
    for slot in closed:
        state.free_slots[tally.free_slots] = slot
        tally.free_slots += 1
    tally.closing = tally.fired = tally.packed = tally.packed_rests = 0
    return closed
