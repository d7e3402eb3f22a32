"""The corrections that `model.calibration` states, applied to what models answer.

A forecaster follows the topic and corrects each forecast by the latest records of its version, one
for its horizon and the age of its snapshot. A forecast states what its point and its interval were
before, and which record it was corrected by: the scorer learns from the former, and whoever
compares a replay with what was live finds the latter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from aiokafka import ConsumerRecord
from numpy.typing import NDArray

from models.forecasters.quantiles import growing
from models.interface import Increments
from models.judging.conformal import AGE_BUCKETS, AGE_EDGES, corrected
from stream.kafka.past import decoded
from topics.catalogue import MODEL_CALIBRATION
from topics.records import ModelCalibration


@dataclass(frozen=True)
class _Table:
    """Of one version; arrays of shape (horizons, age buckets)."""

    shift: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    sample_sizes: NDArray[np.int64]


class Corrections:
    """The latest correction of every version. Records may come in from another thread.

    Args:
        horizons: that forecasts are made for, in seconds.
    """

    def __init__(self, horizons: Iterable[float]) -> None:
        self._horizons = np.array(list(horizons), np.float64)
        self._tables: dict[tuple[str, str], _Table] = {}

    def take_in(self, records: Sequence[ConsumerRecord]) -> None:
        """Takes in messages of `model.calibration`; what cannot be used changes nothing."""
        for record in decoded(MODEL_CALIBRATION, records):
            self.take(record)

    def take(self, record: ModelCalibration) -> None:
        """Takes in a record; one for another horizon or age bucket changes nothing."""
        horizons = self._horizons.tolist()
        if record.horizon not in horizons or record.age_bucket not in AGE_BUCKETS:
            return
        at = horizons.index(record.horizon), AGE_BUCKETS.index(record.age_bucket)
        key = (record.model, record.model_version)
        shape = (len(horizons), len(AGE_BUCKETS))
        old = self._tables.get(key) or _Table(
            np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64)
        )
        table = _Table(
            old.shift.copy(), old.lower.copy(), old.upper.copy(), old.sample_sizes.copy()
        )
        table.shift[at] = record.shift
        table.lower[at] = record.lower_correction
        table.upper[at] = record.correction
        table.sample_sizes[at] = record.sample_size
        # Replaced whole, for a call may be reading the old one.
        self._tables[key] = table

    def apply(
        self, model: str, version: str, ages: NDArray[np.float64], increments: Increments
    ) -> tuple[Increments, NDArray[np.int64] | None]:
        """What a version answers, corrected.

        Args:
            ages: of the snapshots in seconds, shape (snapshots,).
            increments: at the horizons of the settings.

        Returns:
            the increments, which grow with the horizon, and for each the sample size of the record
            that it was corrected by, 0 where its cell has none yet, shape (snapshots, horizons);
            None where nothing is known of the version and its answers stand.
        """
        table = self._tables.get((model, version))
        if table is None:
            return increments, None
        buckets = np.searchsorted(AGE_EDGES, ages, side="right")
        moved = corrected(
            increments, table.shift.T[buckets], table.lower.T[buckets], table.upper.T[buckets]
        )
        grown = Increments(
            quantiles=growing(moved.quantiles, ages, self._horizons),
            expected=growing(moved.expected, ages, self._horizons),
            log_mean=growing(moved.log_mean, ages, self._horizons),
        )
        return grown, table.sample_sizes.T[buckets]
