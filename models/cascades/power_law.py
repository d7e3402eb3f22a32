"""The power-law memory of SEISMIC as compiled functions, shared by it and by the hand features.

A share made at lag s after the post it answers has the density (Zhao et al., SEISMIC, KDD 2015,
section 3.2): phi(s) = c for s <= s0 and c (s / s0)^-(1 + theta) after, where
c = theta / (s0 (1 + theta)) makes it a distribution.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topics.records import BIN_EDGES

# Section 3.2 of the paper, fitted there on tweets: constant for five minutes, then a power law.
PAPER_PLATEAU = 300.0
PAPER_EXPONENT = 0.242


@njit(cache=True, nogil=True)
def cumulative(lag: float, plateau: float, exponent: float) -> float:
    """Share of the direct answers that come within `lag` seconds, 0 for a negative lag."""
    if lag <= 0:
        return 0.0
    if lag <= plateau:
        return exponent / (1 + exponent) * lag / plateau
    return 1 - (lag / plateau) ** -exponent / (1 + exponent)


@njit(cache=True, nogil=True)
def first_moment(lag: float, plateau: float, exponent: float) -> float:
    """Integral of s phi(s) from 0 to `lag`, in seconds; `exponent` is not 1."""
    if lag <= 0:
        return 0.0
    density = exponent / (plateau * (1 + exponent))
    if lag <= plateau:
        return density * lag * lag / 2
    tail = plateau * plateau * ((lag / plateau) ** (1 - exponent) - 1) / (1 - exponent)
    return density * (plateau * plateau / 2 + tail)


@njit(cache=True, nogil=True)
def bin_bounds(bin_: int, last_kept: float, age: float) -> tuple[float, float]:
    """Lowest and highest delay of the events of a bin of a snapshot's `rest`.

    They are later than the last event that was kept, and not later than the snapshot.
    """
    low = BIN_EDGES[bin_ - 1] if bin_ > 0 else 0.0
    high = BIN_EDGES[bin_] if bin_ < len(BIN_EDGES) else age
    low = min(max(low, last_kept), age)
    return low, max(low, min(high, age))


@njit(cache=True, nogil=True)
def infectiousness(
    delays: NDArray[np.float32],
    rest: NDArray[np.int32],
    age: float,
    plateau: float,
    exponent: float,
    prior_weight: float,
    prior_mean: float,
) -> float:
    """Direct answers that an event gets in all, as seen in the later half of the cascade's life.

    Equation 5 of the paper, with its triangular weight K(s) = 1 - 2 s / age for s < age / 2, the
    root not counted as an answer, and `prior_weight` pseudo-answers at the rate `prior_mean`, so
    that a few events do not speak too loudly. Audiences are not known: every event counts alike,
    and the result is the paper's infectiousness times the mean audience.
    """
    if age <= 0:
        return prior_mean
    answers = 0.0
    exposure = 0.0
    last = delays[-1] if len(delays) else 0.0
    for event in range(len(delays) + len(rest)):
        if event < len(delays):
            weight = 1.0
            lag = age - min(max(delays[event], 0.0), age)
        else:
            weight = rest[event - len(delays)]
            if weight == 0:
                continue
            low, high = bin_bounds(event - len(delays), last, age)
            lag = age - (low + high) / 2
        nearness = 1 - 2 * lag / age
        if event > 0 and nearness > 0:
            answers += weight * nearness
        # Integral of K(lag - x) phi(x) over the x that lie in the later half of the life.
        start = max(lag - age / 2, 0.0)
        level = cumulative(lag, plateau, exponent) - cumulative(start, plateau, exponent)
        slope = first_moment(lag, plateau, exponent) - first_moment(start, plateau, exponent)
        exposure += weight * (nearness * level + 2 * slope / age)
    return (answers + prior_weight * prior_mean) / (exposure + prior_weight)


@njit(cache=True, nogil=True)
def direct_answers(
    delays: NDArray[np.float32],
    rest: NDArray[np.int32],
    age: float,
    horizon: float,
    plateau: float,
    exponent: float,
) -> float:
    """Share of its direct answers that an event gets from `age` to `horizon`, summed over events.

    Times the infectiousness, it is the expected number of direct answers to what was observed.
    """
    if horizon <= age:
        return 0.0
    total = 0.0
    last = delays[-1] if len(delays) else 0.0
    for event in range(len(delays)):
        lag = age - min(max(delays[event], 0.0), age)
        total += cumulative(lag + horizon - age, plateau, exponent)
        total -= cumulative(lag, plateau, exponent)
    for bin_ in range(len(rest)):
        if rest[bin_]:
            low, high = bin_bounds(bin_, last, age)
            lag = age - (low + high) / 2
            share = cumulative(lag + horizon - age, plateau, exponent)
            total += rest[bin_] * (share - cumulative(lag, plateau, exponent))
    return total
