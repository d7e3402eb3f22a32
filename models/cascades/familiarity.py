"""How like what a model was trained on a cascade is, by its hand features.

The features of the training observations, scaled, have a mean and a covariance; the distance of a
cascade is Mahalanobis's, over the root of the number of features, so that 1 is usual. What lies
further out than nearly all of the training observations is not known to a model that learnt from
them, however sure it is of its answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from models.cascades.features import HORIZON_NAMES, NAMES, features_of
from models.cascades.observations import Observations

# Of the training observations, what lies nearer than where strangeness begins, and is whole.
NEAR = 0.99
FAR = 0.999
# The hours of a day say when, not what.
COLUMNS = np.array([i for i, n in enumerate([*NAMES, *HORIZON_NAMES]) if "hour" not in n])
_LEAST_DEVIATION = 0.1
# In deviations: a single number far out shall not be all that counts.
_CUT = 6.0
# Of a scaled feature's variance: what others say of it in training alone, they need not elsewhere.
_RIDGE = 0.02


class Familiarity(NamedTuple):
    """What training observations were like.

    Attributes:
        centre, scale: of each of `COLUMNS`.
        axes: scaled features to numbers of unit variance, shape (columns, columns).
        bounds: the distances of `NEAR` and `FAR`.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    axes: NDArray[np.float64]
    bounds: NDArray[np.float64]

    def strangeness(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """0 for what is like the training observations, 1 for what is like none of them.

        Args:
            rows: from `features_of`, shape (..., features).

        Returns:
            shape (...), between 0 and 1.
        """
        near, far = self.bounds
        flat = rows.reshape(-1, rows.shape[-1])
        distances = _distances(flat, COLUMNS, self.centre, self.scale, self.axes)
        strange = np.clip((distances - near) / max(far - near, 1e-9), 0.0, 1.0)
        return np.asarray(strange.reshape(rows.shape[:-1]))

    @classmethod
    def load(cls, path: Path) -> Familiarity:
        """From a file that `save` wrote.

        Raises:
            OSError: it cannot be read.
            ValueError: it is no such file.
        """
        try:
            return cls(**load_file(path))
        except (SafetensorError, TypeError) as error:
            raise ValueError(f"{path.name}: {error}") from error

    def save(self, path: Path) -> None:
        """Writes the file."""
        save_file(
            {name: np.ascontiguousarray(value) for name, value in self._asdict().items()}, path
        )


@njit(cache=True, nogil=True)
def _distances(
    rows: NDArray[np.float64],
    columns: NDArray[np.int64],
    centre: NDArray[np.float64],
    scale: NDArray[np.float64],
    axes: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The distances of rows, shape (n, features), each by itself."""
    out = np.empty(len(rows))
    along = np.empty(len(columns))
    for row in range(len(rows)):
        along[:] = 0.0
        for index in range(len(columns)):
            scaled = (rows[row, columns[index]] - centre[index]) / scale[index]
            along += min(max(scaled, -_CUT), _CUT) * axes[index]
        out[row] = math.sqrt((along**2).mean())
    return out


def familiarity_of(observations: Sequence[Observations]) -> Familiarity:
    """What these observations are like, each weighing the same."""
    rows = np.concatenate(
        [
            features_of(seen.batch, seen.horizons).reshape(-1, len(NAMES) + len(HORIZON_NAMES))
            for seen in observations
        ]
    )
    chosen = rows[:, COLUMNS]
    centre, scale = chosen.mean(axis=0), np.maximum(chosen.std(axis=0), _LEAST_DEVIATION)
    cut = np.clip((chosen - centre) / scale, -_CUT, _CUT)
    variances, vectors = np.linalg.eigh(np.cov(cut.T) + _RIDGE * np.eye(len(COLUMNS)))
    axes = np.ascontiguousarray(vectors / np.sqrt(variances))
    distances = _distances(rows, COLUMNS, centre, scale, axes)
    return Familiarity(centre, scale, axes, np.quantile(distances, [NEAR, FAR]))
