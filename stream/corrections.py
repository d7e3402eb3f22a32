"""The corrections that `model.calibration` states, applied to what models answer.

A forecaster follows the topic and corrects each forecast by the latest records of its version, one
for its horizon and the age of its snapshot. A forecast states what its interval was before, and
which record it was corrected by: the scorer learns from the former, and whoever compares a replay
with what was live finds the latter.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from aiokafka import ConsumerRecord
from numpy.typing import NDArray

from models.conformal import AGE_BUCKETS, AGE_EDGES, correct
from models.interface import Increments
from topics.catalogue import MODEL_CALIBRATION
from topics.codecs import DecodeError
from topics.records import ModelCalibration

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Table:
    """Of one version; arrays of shape (horizons, age buckets)."""

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    sample_sizes: NDArray[np.int64]


class Corrections:
    """The latest correction of every version. Records may come in from another thread.

    Args:
        horizons: that forecasts are made for, in seconds.
    """

    def __init__(self, horizons: Iterable[float]) -> None:
        self._horizons = [float(horizon) for horizon in horizons]
        self._tables: dict[tuple[str, str], _Table] = {}

    def take_in(self, records: Sequence[ConsumerRecord]) -> None:
        """Takes in messages of `model.calibration`; what cannot be used changes nothing."""
        for record in records:
            if record.value is None:
                continue
            try:
                self.take(MODEL_CALIBRATION.codec.decode(record.value))
            except DecodeError as error:
                log.error("%s offset %d: %s", MODEL_CALIBRATION.name, record.offset, error)

    def take(self, record: ModelCalibration) -> None:
        """Takes in a record; one for another horizon or age bucket changes nothing."""
        if record.horizon not in self._horizons or record.age_bucket not in AGE_BUCKETS:
            return
        at = self._horizons.index(record.horizon), AGE_BUCKETS.index(record.age_bucket)
        key = (record.model, record.model_version)
        shape = (len(self._horizons), len(AGE_BUCKETS))
        old = self._tables.get(key) or _Table(
            np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64)
        )
        table = _Table(old.lower.copy(), old.upper.copy(), old.sample_sizes.copy())
        table.lower[at] = record.lower_correction
        table.upper[at] = record.correction
        table.sample_sizes[at] = record.sample_size
        # Replaced whole, for a call may be reading the old one.
        self._tables[key] = table

    def apply(
        self, model: str, version: str, ages: NDArray[np.float64], increments: Increments
    ) -> tuple[Increments, NDArray[np.int64]]:
        """What a version answers, with its intervals corrected.

        Args:
            ages: of the snapshots in seconds, shape (snapshots,).
            increments: at the horizons of the settings.

        Returns:
            the increments, and for each the sample size of the record that it was corrected by, 0
            where there is none, shape (snapshots, horizons).
        """
        table = self._tables.get((model, version))
        if table is None:
            return increments, np.zeros(increments.expected.shape, np.int64)
        buckets = np.searchsorted(AGE_EDGES, ages, side="right")
        corrected = correct(increments.quantiles, table.lower.T[buckets], table.upper.T[buckets])
        return replace(increments, quantiles=corrected), table.sample_sizes.T[buckets]
