"""Observations for training: each cascade seen at many ages and asked about many horizons.

A model for any age and any horizon is trained on both drawn at random, which also multiplies the
training data. Ages are log-uniform; beside them stand the moments at which a cascade reaches 10,
20, 40, ... events. Horizons are log-uniform spans past the age, up to 15 days; one of them is
of those that are asked for most. A horizon past the end of the recording is never asked for, since
what came then is not known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.cascades.batch import Batch, gather
from models.data.datasets import Cascade, count_at, increment, snapshot_at

HOUR = 3_600.0
DAY = 86_400.0
AGES = (300.0, DAY)
LATEST_GROWTH = 4 * DAY
SPANS = (300.0, 15 * DAY)
USUAL_HORIZONS = (HOUR, 4 * HOUR, DAY, 2 * DAY, 15 * DAY)
GROWTH_FIRST = 10
MAX_EVENTS = 512
# Below this many events little is known, and live snapshots are rare: such observations count less.
FEW_EVENTS = 10
FEW_WEIGHT = 0.3
_CHUNK = 2_000


class Observations(NamedTuple):
    """A chunk of observations.

    Attributes:
        batch: the snapshots.
        horizons: ages in seconds, each after the snapshot's, shape (observations, horizons).
        increments: events between the snapshot and the horizon, of the same shape.
        weights: shape (observations,); those of one cascade sum to at most 1.
    """

    batch: Batch
    horizons: NDArray[np.float64]
    increments: NDArray[np.int64]
    weights: NDArray[np.float64]


def end_of(cascades: Sequence[Cascade]) -> float:
    """Unix seconds of the last event: where the recording of these cascades ends."""
    return max((c.published_at + float(c.delays[-1]) for c in cascades), default=-math.inf)


def observe(
    cascades: Sequence[Cascade],
    end: float,
    rng: np.random.Generator,
    ages: int = 24,
    horizons: int = 4,
    chunk_size: int = _CHUNK,
) -> Iterator[Observations]:
    """Observations of the cascades, in chunks, in their order.

    Args:
        cascades: to observe.
        end: unix seconds at which their recording ends; see `end_of`.
        rng: draws ages and horizons.
        ages: ages drawn for each cascade, beside those of growth.
        horizons: horizons drawn for each observation.
        chunk_size: a chunk is closed after a cascade that it has as many with.
    """
    chunk: list[tuple[Cascade, float, NDArray[np.float64], float]] = []
    for cascade in cascades:
        limit = end - cascade.published_at
        moments = np.concatenate([_log_uniform(rng, *AGES, ages), growth_of(cascade)])
        for age in moments:
            asked = _draw_horizons(rng, float(age), limit, horizons)
            if asked is not None:
                chunk.append((cascade, float(age), asked, 1 / len(moments)))
        if len(chunk) >= chunk_size:
            yield _observations(chunk)
            chunk = []
    if chunk:
        yield _observations(chunk)


def _log_uniform(
    rng: np.random.Generator, low: float, high: float, size: int
) -> NDArray[np.float64]:
    return np.exp(rng.uniform(math.log(low), math.log(high), size))


def growth_of(cascade: Cascade) -> NDArray[np.float64]:
    """Ages at which the cascade reaches 10, 20, 40, ... events, up to `LATEST_GROWTH`."""
    ranks = GROWTH_FIRST * 2 ** np.arange(32)
    moments = cascade.delays[ranks[ranks <= len(cascade)] - 1]
    return moments[moments <= LATEST_GROWTH]


def _draw_horizons(
    rng: np.random.Generator, age: float, limit: float, size: int
) -> NDArray[np.float64] | None:
    """Ascending horizons after `age` and up to `limit`; None where there is no room for any."""
    shortest, longest = SPANS
    longest = min(longest, limit - age)
    if longest <= shortest:
        return None
    drawn = age + _log_uniform(rng, shortest, longest, size)
    usual = [horizon for horizon in USUAL_HORIZONS if age + shortest <= horizon <= limit]
    if usual:
        drawn[0] = rng.choice(usual)
    return np.sort(drawn)


def _observations(
    chunk: Sequence[tuple[Cascade, float, NDArray[np.float64], float]],
) -> Observations:
    few = [count_at(cascade, age) < FEW_EVENTS for cascade, age, _, _ in chunk]
    weights = np.array([weight for *_, weight in chunk])
    return Observations(
        batch=gather([snapshot_at(cascade, age, MAX_EVENTS) for cascade, age, _, _ in chunk]),
        horizons=np.stack([asked for _, _, asked, _ in chunk]),
        increments=np.array(
            [[increment(cascade, age, h) for h in asked] for cascade, age, asked, _ in chunk],
            np.int64,
        ),
        weights=np.where(few, FEW_WEIGHT, 1.0) * weights,
    )
