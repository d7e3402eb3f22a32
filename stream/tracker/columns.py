"""The columns of the cascade store: their layout, and how they grow.

The state is a tuple of arrays that this module allocates and the kernel fills. `with_room` is
called before each run of the kernel, which therefore never allocates a column itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.tracker.key_table import FREE, fill_table
from topics.records import BIN_EDGES

CHUNK = 8  # events a chunk; a cascade of five, a typical one, leaves three places unused
RECENT = 512  # hashes kept of the events past a cascade's bound
CLOSED_KEY = -2  # in the hash table, the slot of a cascade that was closed
_BINS = len(BIN_EDGES) + 1
_OUT_RECORDS = 2_048
_OUT_EVENTS = 1 << 16
_OUT_RESTS = 256
_CLOSED_KEPT = 1 << 20

# One row a live cascade.
SLOT = np.dtype(
    [
        ("key", "u8"),
        ("published", "f8"),
        ("latest", "f8"),  # the latest event time
        ("due", "f8"),  # event time of its next trigger; nan while the slot is free
        ("behind", "f8"),  # how late it began: so much later its timers go off
        ("count", "i8"),
        ("next_growth", "i8"),
        ("kept", "i4"),
        ("first", "i4"),  # chunk
        ("last", "i4"),  # chunk
        ("rest", "i4"),  # row of `rests`, or -1
        ("older", "i4"),  # neighbours in the list of activity, or -1
        ("newer", "i4"),
        ("next_age", "i2"),  # index into the ages
        ("rooted", "?"),
        ("in_order", "?"),  # the kept events arrived in order of time
    ],
    align=True,
)

# One row for each eight events of a cascade, in order of arrival.
EVENTS = np.dtype(
    [
        ("time", "f8", CHUNK),
        ("event", "u8", CHUNK),
        ("user", "u8", CHUNK),
        ("parent", "i4", CHUNK),  # in order of arrival; -1 for the root, -2 unknown
        ("depth", "i4", CHUNK),
        ("next", "i4"),
    ],
    align=True,
)

# One row for a cascade with more events than are kept.
REST = np.dtype([("counts", "i4", _BINS), ("recent", "u8", RECENT)], align=True)

# An entry of the heap of timers; void unless `time` is still when the slot's goes off.
TIMER = np.dtype([("time", "f8"), ("slot", "i4")])

# What fired: one row a record, pointing into the packed columns.
FIRED = np.dtype(
    [
        ("published", "f8"),
        ("age", "f8"),
        ("number", "i8"),
        ("count", "i8"),
        ("cause", "i8"),
        ("start", "i8"),
        ("stop", "i8"),
        ("slot", "i4"),
        ("rest", "i4"),  # row of `packed_rest`, or -1
        ("kind", "i1"),
        ("rooted", "?"),
        ("final", "?"),
    ],
    align=True,
)

# How much of each array is in use, and the ends of the list of activity.
TALLY = np.dtype(
    [
        (name, "i8")
        for name in (
            "live", "kept", "evicted", "late", "unknown_parents",
            "keys", "free_slots", "free_chunks", "free_rests", "timers",
            "oldest", "newest", "closed", "closing", "fired", "packed", "packed_rests",
        )
    ]
    + [("watermark", "f8")]
)  # fmt: skip


class State(NamedTuple):
    """All of a partition's cascades."""

    tally: NDArray[np.void]  # one row
    slots: NDArray[np.void]
    chunks: NDArray[np.void]
    rests: NDArray[np.void]
    timers: NDArray[np.void]
    keys: NDArray[np.uint64]  # hash table: cascade hash ...
    key_slots: NDArray[np.int32]  # ... and its slot, FREE or CLOSED_KEY
    free_slots: NDArray[np.int32]
    free_chunks: NDArray[np.int32]
    free_rests: NDArray[np.int32]
    closed: NDArray[np.uint64]  # ring of the hashes of closed cascades
    closing: NDArray[np.int32]  # slots to be freed when the records have been read
    fired: NDArray[np.void]
    delay: NDArray[np.float32]
    parent: NDArray[np.int32]
    depth: NDArray[np.int32]
    user: NDArray[np.int32]
    packed_rest: NDArray[np.int32]


def empty_state(max_events: int, max_cascades: int) -> State:
    """A state without cascades."""
    tally = np.zeros(1, TALLY)
    tally["oldest"] = tally["newest"] = -1
    tally["watermark"] = -np.inf
    packed = _OUT_EVENTS + max_events
    return State(
        tally=tally,
        slots=np.empty(0, SLOT),
        chunks=np.empty(0, EVENTS),
        rests=np.empty(0, REST),
        timers=np.empty(0, TIMER),
        keys=np.empty(0, np.uint64),
        key_slots=np.empty(0, np.int32),
        free_slots=np.empty(0, np.int32),
        free_chunks=np.empty(0, np.int32),
        free_rests=np.empty(0, np.int32),
        closed=np.empty(max(1_024, min(max_cascades, _CLOSED_KEPT)), np.uint64),
        closing=np.empty(_OUT_RECORDS, np.int32),
        fired=np.empty(_OUT_RECORDS, FIRED),
        delay=np.empty(packed, np.float32),
        parent=np.empty(packed, np.int32),
        depth=np.empty(packed, np.int32),
        user=np.empty(packed, np.int32),
        packed_rest=np.empty((_OUT_RESTS, _BINS), np.int32),
    )


def with_room(state: State, events: int, max_events: int) -> State:
    """The state with room for `events` more events, whatever they are."""
    tally = state.tally[0]
    slots, free_slots = _grown(state.slots, state.free_slots, tally, "free_slots", events)
    slots["due"][len(state.slots) :] = np.nan
    chunks, free_chunks = _grown(state.chunks, state.free_chunks, tally, "free_chunks", events)
    # Only a cascade that has `max_events` kept has a row, so there are never more than that.
    rested = (int(tally["kept"]) + events) // max_events
    in_use = len(state.rests) - int(tally["free_rests"])
    rests, free_rests = _grown(state.rests, state.free_rests, tally, "free_rests", rested - in_use)
    # An event adds a timer when it opens or moves a cascade and one when a timer goes off.
    timers = _resized(state.timers, int(tally["timers"]) + 2 * events)
    state = state._replace(
        slots=slots, free_slots=free_slots, chunks=chunks, free_chunks=free_chunks,
        rests=rests, free_rests=free_rests, timers=timers,
    )  # fmt: skip
    needed = 2 * (int(tally["keys"]) + events)
    if needed > len(state.keys):
        size = 1 << max(10, int(needed).bit_length())
        return _rehashed(state, size)
    return state


def _resized(array: NDArray[Any], needed: int) -> NDArray[Any]:
    """The array, at least `needed` long. Spare capacity is not touched, so it costs no memory."""
    if needed <= len(array):
        return array
    grown = np.empty(max(needed, len(array) * 3 // 2, 1_024), array.dtype)
    grown[: len(array)] = array
    return grown


def _grown(
    rows: NDArray[Any],
    free: NDArray[np.int32],
    tally: np.void,
    name: str,
    needed: int,
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """The rows with at least `needed` free ones, and the list of the free ones."""
    spare = int(tally[name])
    if needed <= spare:
        return rows, free
    grown = _resized(rows, len(rows) - spare + needed)
    listed = np.empty(len(grown), np.int32)
    fresh = len(grown) - len(rows)
    # Lowest row on top, so that rows fill from the front and the tail stays untouched.
    listed[:fresh] = np.arange(len(grown) - 1, len(rows) - 1, -1)
    listed[fresh : fresh + spare] = free[:spare]
    tally[name] = fresh + spare
    return grown, listed


def _rehashed(state: State, size: int) -> State:
    keys, key_slots = np.empty(size, np.uint64), np.full(size, FREE, np.int32)
    fill_table(state.keys, state.key_slots, keys, key_slots)
    return state._replace(keys=keys, key_slots=key_slots)


def bytes_of(state: State) -> int:
    """Bytes in use by cascades and events: rows in use, and the hash table and timers whole."""
    tally = state.tally[0]
    rows = (
        (len(state.slots) - tally["free_slots"]) * SLOT.itemsize
        + (len(state.chunks) - tally["free_chunks"]) * EVENTS.itemsize
        + (len(state.rests) - tally["free_rests"]) * REST.itemsize
        + tally["timers"] * TIMER.itemsize
    )
    return int(rows) + state.keys.nbytes + state.key_slots.nbytes
