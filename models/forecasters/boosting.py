"""Gradient boosting on hand features (LightGBM): quantiles and mean for any age and horizon.

One model gives the mean of log2(1 + increment) from `models.cascades.features`, the age and the
horizon among them, and one each gives a quantile. The expected increment is the mean of the
distribution that the quantiles draw; on the validation part it erred less than the mean of log2
with a smearing factor. A version is `config.json` and the trees' arrays, `trees.safetensors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from models.cascades.batch import Batch
from models.cascades.features import HORIZON_NAMES, NAMES
from models.forecasters.calibration import Calibration
from models.forecasters.quantiles import settle
from models.forecasters.reading import FeatureForecaster
from models.interface import LEVELS, Increments
from models.kernels.trees import Trees, parse, predict

CONFIG = "config.json"
TREES = "trees.safetensors"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the trees do not say.

    Attributes:
        levels: of the quantiles, one model each, before that of the mean.
        features: names of the columns that the trees split on, in order.
        calibration: of what the trees say.
    """

    levels: list[float]
    features: list[str]
    calibration: Calibration


class Boosting(FeatureForecaster):
    """The trained models as a forecaster.

    Args:
        trees: a model for each of `LEVELS`, then that of the mean of log2(1 + increment).
        calibration: of what they say.
    """

    name = "boosting"

    def __init__(
        self, trees: Trees, calibration: Calibration | None = None, version: str = "0"
    ) -> None:
        self.trees = trees
        self.calibration = Calibration() if calibration is None else calibration
        self.version = version

    @classmethod
    def of_texts(cls, texts: Sequence[str], calibration: Calibration | None = None) -> Boosting:
        """From models in LightGBM's text format.

        Raises:
            ValueError: not such texts, or trees that `models.kernels.trees` cannot evaluate.
        """
        return cls(parse(texts), calibration)

    @classmethod
    def load(cls, folder: Path, version: str) -> Boosting:
        """The forecaster in a folder that `save` wrote.

        Raises:
            OSError: a file cannot be read.
            ValueError: a file is not what it should be, or the features are not those of this
                program.
        """
        config = msgspec.json.decode((folder / CONFIG).read_bytes(), type=Config)
        if config.features != [*NAMES, *HORIZON_NAMES] or config.levels != LEVELS.tolist():
            raise ValueError(
                "it was trained on other features or levels than this program computes; "
                "train it again with `tidecast train boosting`"
            )
        try:
            trees = Trees(**load_file(folder / TREES))
        except (SafetensorError, TypeError) as error:
            raise ValueError(f"{TREES}: {error}") from error
        return cls(trees, config.calibration, version)

    def save(self, folder: Path) -> None:
        """Writes the trees and the config into a folder that exists."""
        save_file(self.trees._asdict(), folder / TREES)
        config = Config(LEVELS.tolist(), [*NAMES, *HORIZON_NAMES], self.calibration)
        (folder / CONFIG).write_bytes(msgspec.json.format(msgspec.json.encode(config)) + b"\n")

    def answer(
        self, read: NDArray[np.float64], batch: Batch, horizons: NDArray[np.float64]
    ) -> Increments:
        """What the trees say of rows of features, corrected."""
        said = predict(self.trees, read.reshape(-1, read.shape[-1]))
        said = said.reshape(*horizons.shape, said.shape[1])
        mean, quantiles = self.calibration.apply(said[..., -1], said[..., :-1], batch, horizons)
        return settle(quantiles, mean, batch.ages, horizons)
