"""Training data of the models that read sequences: each cascade replayed once, observed often.

A jump depends on what came before it alone, so one replay of a cascade serves every age at which
it is observed. Ages and horizons are drawn anew for every epoch, as in
`models.cascades.observations`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.cascades.clock import CLOCK_SECONDS, clock_of
from models.cascades.observations import (
    AGES,
    FEW_EVENTS,
    FEW_WEIGHT,
    SPANS,
    USUAL_HORIZONS,
    growth_of,
)
from models.cascades.recordings import Source
from models.data.datasets import Cascade

# Of the ages drawn, the share that are moments of growth where there are that many.
_GROWTH_SHARE = 4


class Drawn(NamedTuple):
    """Observations of some cascades.

    Attributes:
        rows: place of the observed cascade among those asked for, shape (observations,).
        ages: seconds, shape (observations,).
        counts: events by then, shape (observations,).
        horizons: seconds, shape (observations, horizons).
        increments: events from the age to the horizon, of the same shape.
        trend: events in each of equal parts (of the clock) of that time, shape (observations,
            horizons, parts).
        weights: shape (observations,); those of a cascade sum to its weight at most.
    """

    rows: NDArray[np.int64]
    ages: NDArray[np.float64]
    counts: NDArray[np.int64]
    horizons: NDArray[np.float64]
    increments: NDArray[np.int64]
    trend: NDArray[np.int64]
    weights: NDArray[np.float64]


class Replays:
    """Cascades to draw observations from.

    Attributes:
        cascades: of all sources, one after the other.
        limits: age of each at the end of its recording, seconds.
        weights: of each; mean 1.
    """

    def __init__(self, parts: Sequence[tuple[Source, Sequence[Cascade]]], recency: float) -> None:
        """Args:
        parts: of each source, the cascades to draw from.
        recency: the latest cascade of a source counts e^recency times the earliest, by rank.
        """
        self.cascades: list[Cascade] = []
        limits, weights = [], []
        for source, cascades in parts:
            ordered = sorted(cascades, key=lambda cascade: cascade.published_at)
            rank = np.arange(len(ordered)) / max(len(ordered), 1)
            weight = np.exp(recency * rank)
            weights.append(source.share * weight / weight.sum())
            limits.append(source.end - np.array([c.published_at for c in ordered]))
            self.cascades.extend(ordered)
        self.limits = np.concatenate(limits)
        weight = np.concatenate(weights)
        self.weights = weight / weight.mean()

    def __len__(self) -> int:
        return len(self.cascades)

    def blocks(self, rng: np.random.Generator, size: int) -> Iterator[NDArray[np.int64]]:
        """All cascades in random order, `size` at a time."""
        order = rng.permutation(len(self))
        for start in range(0, len(order), size):
            yield order[start : start + size]

    def draw(
        self,
        rng: np.random.Generator,
        chosen: NDArray[np.int64],
        ages: int,
        horizons: int,
        parts: int = 1,
    ) -> Drawn:
        """Observations of the chosen cascades, `ages` of each, with `horizons` each."""
        drawn = [self._of(rng, index, ages, horizons, parts) for index in chosen]
        rows = np.repeat(np.arange(len(chosen)), [len(one[0]) for one in drawn])
        found, counts, asked, increments, trend = (
            np.concatenate(column) for column in zip(*drawn, strict=True)
        )
        weights = self.weights[chosen][rows] / ages * np.where(counts < FEW_EVENTS, FEW_WEIGHT, 1.0)
        return Drawn(rows, found, counts, asked, increments, trend, weights)

    def _of(
        self, rng: np.random.Generator, index: int, size: int, horizons: int, parts: int
    ) -> tuple[
        NDArray[np.float64],
        NDArray[np.int64],
        NDArray[np.float64],
        NDArray[np.int64],
        NDArray[np.int64],
    ]:
        cascade, limit = self.cascades[index], self.limits[index]
        delays = cascade.delays
        ages = np.exp(rng.uniform(math.log(AGES[0]), math.log(AGES[1]), size))
        growth = growth_of(cascade)
        moments = min(len(growth), size // _GROWTH_SHARE)
        ages[:moments] = rng.permutation(growth)[:moments]
        shortest, longest = SPANS
        ages = ages[limit - ages > shortest]
        furthest = np.minimum(longest, limit - ages)
        span = np.exp(
            rng.uniform(math.log(shortest), np.log(furthest)[:, None], (len(ages), horizons))
        )
        asked = ages[:, None] + span
        usual = rng.choice(USUAL_HORIZONS, len(ages))
        use = (usual >= ages + shortest) & (usual <= limit)
        asked[use, 0] = usual[use]
        counts = np.searchsorted(delays, ages, side="right")
        shares = np.linspace(0, 1, parts + 1)[1:]
        since, until = clock_of(ages)[:, None, None], clock_of(asked)[:, :, None]
        bounds = CLOCK_SECONDS * np.expm1(since + (until - since) * shares)
        bounds[:, :, -1] = asked
        reached = np.maximum(np.searchsorted(delays, bounds, side="right"), counts[:, None, None])
        trend = np.diff(
            reached, axis=2, prepend=np.broadcast_to(counts[:, None, None], (*asked.shape, 1))
        )
        return ages, counts, asked, reached[:, :, -1] - counts[:, None], trend
