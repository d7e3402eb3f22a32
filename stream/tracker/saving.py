"""The columns of the cascade store as a checkpoint keeps them, and back.

What is spare is left out: rows past the last one in use, places of the hash table without a key.
A slot keeps its number, a timer its place in the heap; where a key lies in the table does not
matter to what the store answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.checkpoints.content import Arrays, as_bytes, from_bytes
from stream.tracker.columns import EVENTS, REST, SLOT, TALLY, TIMER, State, empty_state
from stream.tracker.key_table import FREE, fill_table
from topics.hashing import hash_ids
from topics.records import BIN_EDGES

# Changes whenever saved columns would be misread.
LAYOUT = format(
    hash_ids(
        [repr([t.descr for t in (SLOT, EVENTS, REST, TIMER, TALLY)]) + repr(BIN_EDGES.tolist())]
    )[0],
    "016x",
)


def saved(state: State) -> dict[str, NDArray[Any]]:
    """A copy of all that is in use, between two batches."""
    tally = state.tally[0]
    arrays: dict[str, NDArray[Any]] = {"tally": as_bytes(state.tally).copy()}
    for name in ("slots", "chunks", "rests"):
        rows, free = getattr(state, name), getattr(state, f"free_{name}")
        free = free[: tally[f"free_{name}"]]
        end = _in_use(len(rows), free)
        arrays[name] = as_bytes(rows[:end]).copy()
        arrays[f"free_{name}"] = free[free < end]
    arrays["timers"] = as_bytes(state.timers[: tally["timers"]]).copy()
    taken = state.key_slots != FREE
    arrays["keys"], arrays["key_slots"] = state.keys[taken], state.key_slots[taken]
    arrays["closed"] = state.closed[: min(int(tally["closed"]), len(state.closed))].copy()
    return arrays


def restored(arrays: Arrays, max_events: int, max_cascades: int) -> State:
    """The state that was saved, in memory of its own."""
    state = empty_state(max_events, max_cascades)
    tally = from_bytes(arrays["tally"], TALLY)
    columns: dict[str, NDArray[Any]] = {}
    for name, dtype in (("slots", SLOT), ("chunks", EVENTS), ("rests", REST)):
        columns[name] = from_bytes(arrays[name], dtype)
        free = arrays[f"free_{name}"]
        tally[f"free_{name}"] = len(free)
        # Any row may become free.
        columns[f"free_{name}"] = listed = np.empty(len(columns[name]), np.int32)
        listed[: len(free)] = free
    closed = state.closed
    closed[: len(arrays["closed"])] = arrays["closed"]
    count = len(arrays["keys"])
    size = 1 << max(10, (2 * count).bit_length())
    keys, key_slots = np.empty(size, np.uint64), np.full(size, FREE, np.int32)
    fill_table(arrays["keys"].copy(), arrays["key_slots"].copy(), keys, key_slots)
    return state._replace(
        tally=tally,
        timers=from_bytes(arrays["timers"], TIMER),
        keys=keys,
        key_slots=key_slots,
        closed=closed,
        **columns,
    )


def _in_use(rows: int, free: NDArray[np.int32]) -> int:
    """The end of the rows that are in use or lie before one that is."""
    taken = np.ones(rows, np.bool_)
    taken[free] = False
    return int(taken.nonzero()[0][-1]) + 1 if taken.any() else 0
