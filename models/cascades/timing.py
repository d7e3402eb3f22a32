"""Hand features of a cascade that depend on the times of its events alone, compiled.

Events past those that a snapshot keeps exactly are counted by bins; those of a bin are taken to lie
evenly between its bounds.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.cascades.power_law import bin_bounds

EARLY_SHARES = (1 / 64, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4)
RECENT_SHARES = (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32)
SPANS = (60.0, 300.0, 900.0, 3600.0, 14400.0)
LAST = (1, 3, 10, 30, 100)
QUARTERS = (0.25, 0.5, 0.75)
TURNS = (1 / 4, 1 / 8)
PARTS = 16

TIMING_NAMES: tuple[str, ...] = (
    "log_count",
    "log_age",
    "log_rate",
    *(f"share_by_{share:.3g}_of_age" for share in EARLY_SHARES),
    *(f"log_count_in_last_{share:.3g}_of_age" for share in RECENT_SHARES),
    *(f"log_count_by_{span:.0f}s" for span in SPANS),
    *(f"log_count_in_last_{span:.0f}s" for span in SPANS),
    *(f"log_time_since_last_{rank}" for rank in LAST),
    *(f"age_share_at_{quarter:.2g}_of_count" for quarter in QUARTERS),
    *(f"log_ratio_of_last_two_{turn:.3g}_of_age" for turn in TURNS),
    "log_count_in_busiest_16th_of_age",
    "place_of_busiest_16th_of_age",
    "entropy_of_16ths_of_age",
    "mean_delay_over_age",
    "deviation_delay_over_age",
    "log_first_delay",
    "mean_log_gap",
    "deviation_log_gap",
)


@njit(cache=True, nogil=True)
def count_until(
    delays: NDArray[np.float32], rest: NDArray[np.int32], age: float, time: float
) -> float:
    """Events with a delay of at most `time`; a bin that `time` cuts counts in proportion."""
    count = float(np.searchsorted(delays, time, side="right"))
    if len(rest) and time > delays[-1]:
        for bin_ in range(len(rest)):
            if rest[bin_]:
                low, high = bin_bounds(bin_, delays[-1], age)
                if time >= high:
                    count += rest[bin_]
                elif time > low:
                    count += rest[bin_] * (time - low) / (high - low)
    return count


@njit(cache=True, nogil=True)
def delay_of(delays: NDArray[np.float32], rest: NDArray[np.int32], age: float, rank: int) -> float:
    """Delay of the event of that rank (the root's is 1), in [0, age]; 0 for ranks below 1."""
    if rank < 1:
        return 0.0
    if rank <= len(delays):
        return min(max(float(delays[rank - 1]), 0.0), age)
    left = rank - len(delays)
    for bin_ in range(len(rest)):
        if left <= rest[bin_]:
            low, high = bin_bounds(bin_, delays[-1], age)
            return low + (high - low) * left / rest[bin_]
        left -= rest[bin_]
    return age


@njit(cache=True, nogil=True)
def _shape(
    delays: NDArray[np.float32],
    rest: NDArray[np.int32],
    age: float,
    count: int,
    out: NDArray[np.float64],
) -> int:
    """Writes how the events lie in the age: turns, the busiest part, moments; returns how many."""
    position = 0
    for turn in TURNS:
        middle = count_until(delays, rest, age, age * (1 - turn))
        last = max(count - middle, 0.0)
        before = max(middle - count_until(delays, rest, age, age * (1 - 2 * turn)), 0.0)
        out[position] = math.log2((1 + last) / (1 + before))
        position += 1
    most = busiest = entropy = until = 0.0
    for part in range(PARTS):
        end = count_until(delays, rest, age, age * (part + 1) / PARTS)
        # Rounding may put the last event past the age.
        inside = max((end if part < PARTS - 1 else float(count)) - until, 0.0)
        until = end
        # A bin that parts cut into equal pieces shall not make a later one the busiest by rounding.
        if inside > most + 1e-6:
            most = inside
            busiest = part
        if inside > 0:
            share = inside / count
            entropy -= share * math.log2(share)
    out[position] = math.log2(1 + most)
    out[position + 1] = busiest / PARTS
    out[position + 2] = entropy
    total = squares = 0.0
    scale = max(age, 1.0)
    for event in range(len(delays)):
        place = min(max(float(delays[event]), 0.0), age) / scale
        total += place
        squares += place * place
    for bin_ in range(len(rest)):
        if rest[bin_]:
            low, high = bin_bounds(bin_, delays[-1], age)
            low /= scale
            high /= scale
            total += rest[bin_] * (low + high) / 2
            squares += rest[bin_] * (low * low + low * high + high * high) / 3
    mean = total / max(count, 1)
    out[position + 3] = mean
    out[position + 4] = math.sqrt(max(squares / max(count, 1) - mean * mean, 0.0))
    return position + 5


@njit(cache=True, nogil=True)
def timing(
    delays: NDArray[np.float32],
    rest: NDArray[np.int32],
    age: float,
    count: int,
    out: NDArray[np.float64],
) -> int:
    """Writes the features of `TIMING_NAMES` to the start of `out`; returns how many."""
    position = 3
    out[0] = math.log2(max(count, 1))
    out[1] = math.log2(1 + age)
    out[2] = out[0] - out[1]
    for share in EARLY_SHARES:
        out[position] = count_until(delays, rest, age, age * share) / max(count, 1)
        position += 1
    for share in RECENT_SHARES:
        before = count_until(delays, rest, age, age * (1 - share))
        out[position] = math.log2(1 + max(count - before, 0.0))
        position += 1
    for span in SPANS:
        out[position] = math.log2(1 + count_until(delays, rest, age, min(span, age)))
        position += 1
    for span in SPANS:
        before = count_until(delays, rest, age, age - span) if span < age else 0.0
        out[position] = math.log2(1 + max(count - before, 0.0))
        position += 1
    for rank in LAST:
        out[position] = math.log2(1 + age - delay_of(delays, rest, age, count - rank + 1))
        position += 1
    for quarter in QUARTERS:
        rank = math.ceil(count * quarter)
        out[position] = delay_of(delays, rest, age, rank) / max(age, 1.0)
        position += 1
    position += _shape(delays, rest, age, count, out[position:])
    out[position] = math.log2(1 + (delay_of(delays, rest, age, np.int64(2)) if count > 1 else age))
    position += 1
    total = squares = 0.0
    gaps = max(len(delays) - 1, 0)
    for event in range(gaps):
        gap = math.log2(1 + max(float(delays[event + 1]) - float(delays[event]), 0.0))
        total += gap
        squares += gap * gap
    mean = total / gaps if gaps else out[1]
    out[position] = mean
    out[position + 1] = math.sqrt(max(squares / gaps - mean * mean, 0.0)) if gaps else 0.0
    return position + 2
