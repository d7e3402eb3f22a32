"""Writes what a cascade has triggered into the columns that the caller reads.

Part of the kernel of the cascade store; the columns are those of `stream.tracker.columns`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from stream.tracker.columns import CHUNK

# Kinds of record. Typed: numba compiles a kernel for each literal that it is given.
GROWTH, AGE, OUTCOME = np.arange(3)
UNKNOWN = -2  # a parent that is not an index


@njit(cache=True)
def emit(state, kind, slot, number, age, count, cause, limit):
    """Writes out a record; a snapshot with the cascade's events up to the time `limit`."""
    tally = state.tally[0]
    cascade = state.slots[slot]
    record = state.fired[tally.fired]
    tally.fired += 1
    record.kind = kind
    record.slot = slot
    record.number = number
    record.published = cascade.published
    record.age = age
    record.count = count
    record.cause = cause
    record.rooted = cascade.rooted
    record.final = kind == OUTCOME and number == 1
    record.start = tally.packed
    record.rest = -1
    if kind != OUTCOME:
        if cascade.in_order:
            _pack_in_order(state, cascade, limit)
        else:
            _pack_sorted(state, cascade, limit)
        if cascade.rest >= 0 and count > tally.packed - record.start:
            record.rest = tally.packed_rests
            tally.packed_rests += 1
            counts = state.rests[cascade.rest].counts
            left = count - (tally.packed - record.start)
            for b in range(len(counts)):
                state.packed_rest[record.rest, b] = min(counts[b], left)
                left -= state.packed_rest[record.rest, b]
    record.stop = tally.packed


@njit(cache=True)
def _pack_in_order(state, cascade, limit):
    tally = state.tally[0]
    out = tally.packed
    chunk = cascade.first
    base = 0
    while chunk >= 0:
        row = state.chunks[chunk]
        for j in range(min(CHUNK, cascade.kept - base)):
            if row.time[j] > limit:
                tally.packed = out
                return
            state.delay[out] = max(0.0, row.time[j] - cascade.published)
            state.parent[out] = row.parent[j]
            state.depth[out] = row.depth[j]
            state.user[out] = np.int32(np.uint32(row.user[j]))
            out += 1
        base += CHUNK
        chunk = row.next
    tally.packed = out


@njit(cache=True)
def _pack_sorted(state, cascade, limit):
    """The events in order of time, those of one time in order of arrival."""
    tally = state.tally[0]
    chunk_of = np.empty(cascade.kept, np.int32)
    times = np.empty(cascade.kept, np.float64)
    chunk = cascade.first
    for i in range(cascade.kept):
        if i > 0 and i % CHUNK == 0:
            chunk = state.chunks[chunk].next
        chunk_of[i] = chunk
        times[i] = state.chunks[chunk].time[i % CHUNK]
    order = np.argsort(times, kind="mergesort")
    rank = np.empty(cascade.kept, np.int32)
    within = 0
    for i in order:
        rank[i] = within if times[i] <= limit else UNKNOWN
        within += times[i] <= limit
    out = tally.packed
    for i in order[:within]:
        row, j = state.chunks[chunk_of[i]], i % CHUNK
        state.delay[out] = max(0.0, times[i] - cascade.published)
        parent = row.parent[j]
        state.parent[out] = rank[parent] if parent >= 0 else parent
        state.depth[out] = row.depth[j]
        state.user[out] = np.int32(np.uint32(row.user[j]))
        out += 1
    tally.packed = out
