"""What every forecaster and every ranker is to the stream.

A forecaster answers for any age and any horizon with a distribution, not a point; a ranker keeps
an estimate of each object's request rate and is stepped by windows of requests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.cascades.batch import Batch, gather
from topics.records import CascadeSnapshot, EdgeWindow

# Levels of the quantiles that forecasts state, those of `topics.records.Quantiles`.
LEVELS: NDArray[np.float64] = np.array([0.05, 0.25, 0.5, 0.75, 0.95])


@dataclass(frozen=True)
class Increments:
    """The distribution of the increment, the events between the snapshot and each horizon.

    Attributes:
        quantiles: log2(1 + increment) at `LEVELS`, shape (snapshots, horizons, levels),
            ascending along the last axis, at least 0, float64.
        expected: the expected increment in events, shape (snapshots, horizons), at least 0.
        log_mean: the mean of log2(1 + increment), shape (snapshots, horizons), at least 0: the
            point with the least mean squared logarithmic error, which is how forecasts of
            popularity are compared.

    Where a horizon is not after the snapshot all are 0.
    """

    quantiles: NDArray[np.float64]
    expected: NDArray[np.float64]
    log_mean: NDArray[np.float64]

    def probability_of(self, increment: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability that the increment at the last horizon is at least `increment`.

        Between the stated quantiles the distribution function is linear in log2(1 + increment);
        the tails outside go on at the slope of their neighbouring piece, cut to [0, 1].

        Args:
            increment: events, shape (snapshots,).

        Returns:
            shape (snapshots,), in [0, 1]; 1 where `increment` is not above 0.
        """
        targets = np.log2(1 + np.maximum(increment, 0))
        last = self.quantiles[:, -1, :]
        # A quarter of the next piece's width a step outside, so that a certain forecast
        # (all quantiles equal) stays certain.
        step = LEVELS[1] - LEVELS[0]
        lowest = last[:, :1] - (last[:, 1:2] - last[:, :1]) * LEVELS[0] / step
        highest = last[:, -1:] + (last[:, -1:] - last[:, -2:-1]) * LEVELS[0] / step
        points = np.concatenate([lowest, last, highest], axis=1)
        levels = np.concatenate([[0.0], LEVELS, [1.0]])
        below = np.array(
            [
                np.interp(t, row, levels, left=0, right=1)
                for t, row in zip(targets, points, strict=True)
            ]
        )
        return np.where(increment <= 0, 1.0, 1.0 - below)


class Forecaster(ABC):
    """Forecasts how many events cascades will still get.

    Implementations are safe to call from one thread at a time, release the interpreter lock in
    their heavy parts, and give the same answer for a snapshot whatever else is in the batch: to
    the bit; where a library's matrix products decide, to 1e-4.
    """

    name: str
    version: str

    @abstractmethod
    def forecast_batch(self, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
        """The distribution of each cascade's increment at each of its own horizons.

        Args:
            batch: snapshots of any age and size, gathered.
            horizons: ages in seconds since publication, shape (snapshots, horizons), ascending.
        """

    def forecast(
        self, snapshots: Sequence[CascadeSnapshot], horizons: NDArray[np.float64]
    ) -> Increments:
        """`forecast_batch` of snapshots that share their horizons, shape (horizons,)."""
        shared = np.broadcast_to(np.asarray(horizons, np.float64), (len(snapshots), len(horizons)))
        return self.forecast_batch(gather(snapshots), np.ascontiguousarray(shared))


class ReadingForecaster(Forecaster):
    """A forecaster that reads a batch before it answers: those that read alike share a reading.

    Attributes:
        reading: what it reads; forecasters of the same name can be given each other's.
    """

    reading: str

    @abstractmethod
    def read(self, batch: Batch, horizons: NDArray[np.float64]) -> Any:
        """What it answers from; `answer` leaves it as it is."""

    @abstractmethod
    def answer(self, read: Any, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
        """`forecast_batch`, given what was read of the same batch and horizons."""

    def forecast_batch(self, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
        """Reads a batch and answers it."""
        return self.answer(self.read(batch, horizons), batch, horizons)


class Ranker(ABC):
    """Estimates how often the objects of one edge will be requested.

    One instance serves one edge; it is stepped by that edge's windows in order of time.
    """

    name: str
    version: str

    @property
    def in_force(self) -> str:
        """What the scores go by at present, in words; empty where that never changes."""
        return ""

    @abstractmethod
    def step(self, window: EdgeWindow) -> None:
        """Takes in the requests of one window (or of one part of a large window)."""

    @abstractmethod
    def scores(self, objects: Sequence[str]) -> NDArray[np.float64]:
        """log of the expected requests in the next window, shape (len(objects),).

        An object that was never requested has the score of a newcomer, -inf if there is none.
        """
