"""What forecasters have in common that read hand features alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.cascades.batch import Batch
from models.cascades.features import features_of
from models.interface import ReadingForecaster


class FeatureForecaster(ReadingForecaster):
    """A forecaster that reads hand features alone."""

    reading = "features"

    def read(self, batch: Batch, horizons: NDArray[np.float64]) -> NDArray[np.float64]:
        """Hand features of a batch, a row for each snapshot and horizon."""
        return features_of(batch, horizons)
