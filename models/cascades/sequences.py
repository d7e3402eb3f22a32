"""Cascades as sequences of jumps, the form in which neural models read them.

The first `EXACT` events are a jump each. Later ones are summarised: a jump at the upper edge of
each bin of `BIN_EDGES` that holds any, with their number. What lies in the bin that an observation
cuts is no jump yet; it enters the observation's context. So a sequence is short however large the
cascade, and a jump is a function of what came before it alone: one replay of a cascade serves
every age at which it is observed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.cascades.batch import Batch
from topics.records import BIN_EDGES

EXACT = 100
# Time constants in seconds of the traces: each jump adds its events, and they fade exponentially.
# They are the state of a Hawkes process with a sum of exponential kernels, hence its intensity for
# any weights of the kernels.
TRACES = (60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0)
# Columns of `Sequences.features`; logarithms are to base 2, of one plus the value where that may
# be 0.
FEATURES: tuple[str, ...] = (
    "log_delay",
    "log_gap",
    "log_multiplicity",
    "summarised",
    "log_count",
    "log_reaction",
    "log_depth",
    "parent_unknown",
    "log_siblings",
    "user_seen",
    *(f"log_trace_{trace:.0f}s" for trace in TRACES),
)
# Columns of `context`.
CONTEXT: tuple[str, ...] = (
    "log_count",
    "log_age",
    "log_rate",
    "log_uncounted",
    "log_silence",
    *(f"log_trace_{trace:.0f}s" for trace in TRACES),
    "published_hour_sin",
    "published_hour_cos",
    "observed_hour_sin",
    "observed_hour_cos",
)
_SCALE = 1 / 8  # logarithms of seconds and counts come out about 1
_DAY = 86_400.0


class Sequences(NamedTuple):
    """The jumps of many cascades, one cascade after the other.

    Attributes:
        offsets: jumps of cascade i are those from `offsets[i]` to `offsets[i + 1]`, int64, shape
            (cascades + 1,).
        times: seconds since publication, ascending, float64, shape (jumps,).
        counts: events up to and with the jump, int64, shape (jumps,).
        features: float32, shape (jumps, len(FEATURES)).
        users: hash of the event's user, 0 for a summary, int32, shape (jumps,).
        traces: after each jump, float64, shape (jumps, len(TRACES)).
    """

    offsets: NDArray[np.int64]
    times: NDArray[np.float64]
    counts: NDArray[np.int64]
    features: NDArray[np.float32]
    users: NDArray[np.int32]
    traces: NDArray[np.float64]


@njit(cache=True, nogil=True)
def _faded(trace: float, scale: float, elapsed: float, added: int, spread: float) -> float:
    """A trace after `elapsed` seconds, with events added that lie evenly in the last `spread`."""
    fresh = 1.0 if spread <= 0 else -math.expm1(-spread / scale) * scale / spread
    return trace * math.exp(-elapsed / scale) + added * fresh


@njit(cache=True, nogil=True)
def sequences_of(batch: Batch) -> Sequences:
    """The jumps of each snapshot of a batch."""
    size = len(batch.ages)
    bins = len(BIN_EDGES)
    most = 0
    longest = 1
    for row in range(size):
        events = batch.offsets[row + 1] - batch.offsets[row]
        exact = min(events, EXACT)
        most += exact + (bins if batch.counts[row] > exact else 0)
        longest = max(longest, events)
    offsets = np.zeros(size + 1, np.int64)
    times = np.empty(most)
    counts = np.empty(most, np.int64)
    features = np.zeros((most, len(FEATURES)), np.float32)
    users = np.zeros(most, np.int32)
    traces = np.zeros((most, len(TRACES)))
    children = np.empty(longest, np.int64)
    summary = np.empty(bins + 1, np.int64)
    # Typed: numba compiles a kernel for each literal that it is given, and again for the type.
    one = np.int64(1)
    jump = np.int64(0)
    for row in range(size):
        first, last = batch.offsets[row], batch.offsets[row + 1]
        age = max(batch.ages[row], 0.0)
        exact = min(last - first, EXACT)
        children[: last - first] = 0
        count = np.int64(0)
        before = 0.0
        for event in range(exact):
            at = first + event
            delay = min(max(float(batch.delays[at]), 0.0), age)
            count += 1
            out = features[jump]
            _common(out, delay, delay - before, one, count)
            parent = batch.parents[at]
            if parent >= 0:
                out[5] = (
                    math.log2(1 + max(delay - float(batch.delays[first + parent]), 0.0)) * _SCALE
                )
                out[8] = math.log2(1.0 + children[parent]) * _SCALE
                children[parent] += 1
            else:
                out[7] = parent == -2
            out[6] = math.log2(1.0 + batch.depths[at])
            for other in range(first, at):
                if batch.users[other] == batch.users[at]:
                    out[9] = 1.0
                    break
            times[jump], counts[jump], users[jump] = delay, count, batch.users[at]
            _trace(traces, features, jump, jump > offsets[row], delay - before, one, 0.0)
            before = delay
            jump += 1
        if batch.counts[row] > exact:
            summary[:] = 0
            for at in range(first + exact, last):
                summary[np.searchsorted(BIN_EDGES, batch.delays[at])] += 1
            if batch.rest_rows[row] >= 0:
                summary += batch.rest[batch.rest_rows[row]]
            for bin_ in range(bins):
                # A bin that reaches past the age is not over: its events stay uncounted.
                if summary[bin_] and BIN_EDGES[bin_] <= age:
                    count += summary[bin_]
                    delay = max(BIN_EDGES[bin_], before)
                    _common(features[jump], delay, delay - before, summary[bin_], count)
                    features[jump, 3] = 1.0
                    times[jump], counts[jump] = delay, count
                    gap = delay - before
                    _trace(traces, features, jump, jump > offsets[row], gap, summary[bin_], gap)
                    before = delay
                    jump += 1
        offsets[row + 1] = jump
    return Sequences(
        offsets, times[:jump], counts[:jump], features[:jump], users[:jump], traces[:jump]
    )


@njit(cache=True, nogil=True)
def _common(
    out: NDArray[np.float32], delay: float, gap: float, multiplicity: int, count: int
) -> None:
    out[0] = math.log2(1 + delay) * _SCALE
    out[1] = math.log2(1 + gap) * _SCALE
    out[2] = math.log2(1.0 * multiplicity) * _SCALE
    out[4] = math.log2(1.0 * count) * _SCALE


@njit(cache=True, nogil=True)
def _trace(
    traces: NDArray[np.float64],
    features: NDArray[np.float32],
    jump: int,
    follows: bool,
    gap: float,
    added: int,
    spread: float,
) -> None:
    for index in range(len(TRACES)):
        before = traces[jump - 1, index] if follows else 0.0
        traces[jump, index] = _faded(before, TRACES[index], gap, added, spread)
        features[jump, 10 + index] = math.log2(1 + traces[jump, index]) * _SCALE


class Cuts(NamedTuple):
    """Observations of sequences.

    Attributes:
        jump: index of the last jump at or before the age; -1 where the cascade has none, int64,
            shape (observations,).
        context: what is known beside the jumps, float32, shape (observations, len(CONTEXT)).
    """

    jump: NDArray[np.int64]
    context: NDArray[np.float32]


@njit(cache=True, nogil=True)
def cut(
    sequences: Sequences,
    rows: NDArray[np.int64],
    ages: NDArray[np.float64],
    counts: NDArray[np.int64],
    published_at: NDArray[np.float64],
) -> Cuts:
    """Where observations cut the sequences.

    Args:
        sequences: of cascades.
        rows: the cascade that is observed, shape (observations,).
        ages: seconds since its publication, shape (observations,).
        counts: its events by then, shape (observations,).
        published_at: unix seconds, shape (observations,).
    """
    size = len(rows)
    jump = np.empty(size, np.int64)
    context = np.empty((size, len(CONTEXT)), np.float32)
    for index in range(size):
        row, age = rows[index], max(ages[index], 0.0)
        first, end = sequences.offsets[row], sequences.offsets[row + 1]
        # Delays are float32: one may be a rounding error past the age that it was observed at.
        reach = max(age, float(np.float32(age)))
        at = np.searchsorted(sequences.times[first:end], reach, side="right") - 1
        jump[index] = first + at if at >= 0 else -1
        seen = sequences.counts[first + at] if at >= 0 else 0
        silence = age - sequences.times[first + at] if at >= 0 else age
        out = context[index]
        out[0] = math.log2(1.0 * max(counts[index], 1)) * _SCALE
        out[1] = math.log2(1 + age) * _SCALE
        out[2] = out[0] - out[1]
        out[3] = math.log2(1.0 + max(counts[index] - seen, 0)) * _SCALE
        out[4] = math.log2(1 + max(silence, 0.0)) * _SCALE
        published = 2 * math.pi * (published_at[index] % _DAY) / _DAY
        observed = 2 * math.pi * ((published_at[index] + age) % _DAY) / _DAY
        for trace in range(len(TRACES)):
            before = sequences.traces[first + at, trace] if at >= 0 else 0.0
            added = max(counts[index] - seen, 0)
            now = _faded(before, TRACES[trace], silence, added, silence)
            out[5 + trace] = math.log2(1 + now) * _SCALE
        hours = out[5 + len(TRACES) :]
        hours[0], hours[1] = math.sin(published), math.cos(published)
        hours[2], hours[3] = math.sin(observed), math.cos(observed)
    return Cuts(jump, context)


HORIZON: tuple[str, ...] = (
    "log_span",
    "log_horizon_over_age",
    "horizon_hour_sin",
    "horizon_hour_cos",
)


def horizon_features(
    ages: NDArray[np.float64], horizons: NDArray[np.float64], published_at: NDArray[np.float64]
) -> NDArray[np.float32]:
    """What a model is told of each horizon, shape (observations, horizons, len(HORIZON)).

    Args:
        ages: seconds, shape (observations,).
        horizons: ages in seconds, shape (observations, horizons); one before the age counts as it.
        published_at: unix seconds, shape (observations,).
    """
    age = np.maximum(ages, 0.0)[:, None]
    horizon = np.maximum(horizons, age)
    angle = 2 * np.pi * ((published_at[:, None] + horizon) % _DAY) / _DAY
    return np.stack(
        [
            np.log2(1 + horizon - age) * _SCALE,
            np.log2((1 + horizon) / (1 + age)) * _SCALE,
            np.sin(angle),
            np.cos(angle),
        ],
        axis=-1,
    ).astype(np.float32)
