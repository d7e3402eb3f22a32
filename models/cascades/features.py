"""Hand features of cascades at any age, compiled, one pass over a batch of snapshots.

Delays are compared with the age, counts and times enter as logarithms (base 2), so that one model
serves cascades of every speed and size. Events past those that a snapshot keeps exactly enter
everything that depends on time alone: those of a bin are taken to lie evenly between its bounds.
What depends on the tree (depth, children, users) is that of the events kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.cascades.batch import Batch, gather
from models.cascades.power_law import (
    PAPER_EXPONENT,
    PAPER_PLATEAU,
    direct_answers,
    infectiousness,
)
from models.cascades.timing import TIMING_NAMES, count_until, timing
from topics.records import CascadeSnapshot

NAMES: tuple[str, ...] = (
    *TIMING_NAMES,
    "mean_log_reaction",
    "mean_depth",
    "max_depth",
    "share_deeper_than_1",
    "share_unknown_parent",
    "log_children_of_root",
    "log_most_children",
    "share_with_children",
    "share_of_distinct_users",
    "log_infectiousness",
    "published_hour_sin",
    "published_hour_cos",
    "observed_hour_sin",
    "observed_hour_cos",
)
HORIZON_NAMES: tuple[str, ...] = (
    "log_span",
    "log_horizon_over_age",
    "log_direct_answers",
    "log_answers_at_rate",
    "horizon_hour_sin",
    "horizon_hour_cos",
)
# Pseudo-answers of the infectiousness feature: enough to tame the first events, no more.
PRIOR_WEIGHT = 1.0
PRIOR_MEAN = 0.5
_DAY = 86_400.0


@njit(cache=True, nogil=True)
def _tree(
    delays: NDArray[np.float32],
    parents: NDArray[np.int32],
    depths: NDArray[np.int32],
    users: NDArray[np.int32],
    children: NDArray[np.int64],
    table: NDArray[np.int64],
    out: NDArray[np.float64],
) -> int:
    """Writes the features of the tree; returns how many.

    `children` has room for all events; `table` for at least twice as many, a power of two.
    """
    events = len(delays)
    children[:events] = 0
    reaction = 0.0
    answered = unknown = deeper = deepest = depth_sum = 0
    for event in range(events):
        parent = parents[event]
        if parent >= 0:
            children[parent] += 1
            lag = max(float(delays[event]) - float(delays[parent]), 0.0)
            reaction += math.log2(1 + lag)
            answered += 1
        elif parent == -2:
            unknown += 1
        depth_sum += depths[event]
        deepest = max(deepest, depths[event])
        deeper += depths[event] > 1
    parents_seen = most = 0
    for event in range(events):
        parents_seen += children[event] > 0
        if event > 0:
            most = max(most, children[event])
    size = 4
    while size < 2 * events:
        size *= 2
    table[:size] = -1
    distinct = 0
    for event in range(events):
        slot = (users[event] * 0x9E3779B1) & (size - 1)
        while table[slot] >= 0 and users[table[slot]] != users[event]:
            slot = (slot + 1) & (size - 1)
        if table[slot] < 0:
            table[slot] = event
            distinct += 1
    scale = max(events, 1)
    out[0] = reaction / max(answered, 1)
    out[1] = depth_sum / scale
    out[2] = deepest
    out[3] = deeper / scale
    out[4] = unknown / scale
    out[5] = math.log2(1 + children[0]) if events else 0.0
    out[6] = math.log2(1 + most)
    out[7] = parents_seen / scale
    out[8] = distinct / scale
    return 9


@njit(cache=True, nogil=True)
def _hour(time: float, out: NDArray[np.float64]) -> None:
    angle = 2 * math.pi * (time % _DAY) / _DAY
    out[0] = math.sin(angle)
    out[1] = math.cos(angle)


@njit(cache=True, nogil=True)
def _fill(
    batch: Batch, horizons: NDArray[np.float64], out: NDArray[np.float64], width: int
) -> None:
    longest = 0
    for row in range(len(batch.ages)):
        longest = max(longest, batch.offsets[row + 1] - batch.offsets[row])
    children = np.empty(longest + 1, np.int64)
    table = np.empty(max(4, 4 * longest), np.int64)
    for row in range(len(batch.ages)):
        kept = slice(batch.offsets[row], batch.offsets[row + 1])
        delays = batch.delays[kept]
        line = batch.rest_rows[row]
        rest = batch.rest[line] if line >= 0 else np.empty(0, np.int32)
        age = max(batch.ages[row], 0.0)
        first = out[row, 0]
        position = timing(delays, rest, age, batch.counts[row], first)
        position += _tree(
            delays,
            batch.parents[kept],
            batch.depths[kept],
            batch.users[kept],
            children,
            table,
            first[position:],
        )
        answers = infectiousness(
            delays, rest, age, PAPER_PLATEAU, PAPER_EXPONENT, PRIOR_WEIGHT, PRIOR_MEAN
        )
        first[position] = math.log2(answers)
        _hour(batch.published_at[row], first[position + 1 :])
        _hour(batch.published_at[row] + age, first[position + 3 :])
        recent = max(batch.counts[row] - count_until(delays, rest, age, age / 2), 0.0)
        for column in range(out.shape[1]):
            horizon = max(horizons[row, column], age)
            if column:
                for index in range(width):  # a slice would have numba compile the words of an error
                    out[row, column, index] = first[index]
            tail = out[row, column, width:]
            tail[0] = math.log2(1 + horizon - age)
            tail[1] = math.log2((1 + horizon) / (1 + age))
            direct = direct_answers(delays, rest, age, horizon, PAPER_PLATEAU, PAPER_EXPONENT)
            tail[2] = math.log2(1 + answers * direct)
            tail[3] = math.log2(1 + recent * 2 * (horizon - age) / (1 + age))
            _hour(batch.published_at[row] + horizon, tail[4:])


def features_of(batch: Batch, horizons: NDArray[np.float64]) -> NDArray[np.float64]:
    """The features of each snapshot at each of its horizons.

    Args:
        batch: from `models.cascades.batch.gather`.
        horizons: ages in seconds, shape (snapshots, horizons); one before the snapshot's age
            counts as the age.

    Returns:
        shape (snapshots, horizons, len(NAMES) + len(HORIZON_NAMES)), finite.
    """
    out = np.empty((*horizons.shape, len(NAMES) + len(HORIZON_NAMES)))
    if out.size:
        # A copy, for that of a single snapshot may be read-only: to numba that is another type.
        _fill(batch, np.array(horizons, np.float64, order="C"), out, len(NAMES))
    return out


def features(
    snapshots: Sequence[CascadeSnapshot], horizons: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`features_of` for snapshots that share their horizons, shape (horizons,)."""
    shared = np.broadcast_to(horizons, (len(snapshots), len(horizons)))
    return features_of(gather(snapshots), shared)
