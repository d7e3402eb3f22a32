"""Gradient boosting on hand features: a LightGBM model a quantile, for any age and horizon.

Each model gives a quantile of log2(1 + increment) from `models.features`, the age and the horizon
among them. The quantiles are stretched about the median until those of the validation part hold
what they promise (a split-conformal correction), put in order, and kept from falling as the
horizon moves out. The expected increment is the mean of the distribution that the quantiles draw,
linear in log2 between them; on the validation part it erred less than a model of the mean of
log2 with a smearing factor, and it needs no trees of its own.
"""

from __future__ import annotations

import lzma
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.batch import gather
from models.features import HORIZON_NAMES, NAMES, features_of
from models.interface import LEVELS, Forecaster, Increments
from models.quantiles import log_mean_of, settle, stretch
from models.trees import parse, predict
from topics.records import CascadeSnapshot

CONFIG = "config.json"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the trees do not say.

    Attributes:
        levels: of the quantiles, one model each.
        features: names of the columns that the trees split on, in order.
        stretches: for each level, the factor of its distance to the median.
    """

    levels: list[float]
    features: list[str]
    stretches: list[float]


def _file(level: float) -> str:
    return f"quantile_{round(level * 100):02d}.txt.xz"


class Boosting(Forecaster):
    """The trained quantile models as a forecaster."""

    name = "boosting"

    def __init__(
        self, texts: Sequence[str], stretches: NDArray[np.float64], version: str = "0"
    ) -> None:
        """Args:
            texts: the models in LightGBM's text format, one for each of `LEVELS`.
            stretches: shape (levels,).

        Raises:
            ValueError: not such texts, or trees that `models.trees` cannot evaluate.
        """
        self.texts = list(texts)
        self.stretches = stretches
        self.version = version
        self._trees = parse(self.texts)

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
        texts = []
        for level in config.levels:
            try:
                texts.append(lzma.decompress((folder / _file(level)).read_bytes()).decode())
            except lzma.LZMAError as error:
                raise ValueError(f"{_file(level)}: {error}") from error
        return cls(texts, np.array(config.stretches), version)

    def save(self, folder: Path) -> None:
        """Writes the models (LightGBM's text, compressed) and the config into a folder."""
        for level, text in zip(LEVELS, self.texts, strict=True):
            (folder / _file(level)).write_bytes(lzma.compress(text.encode(), preset=9))
        config = Config(LEVELS.tolist(), [*NAMES, *HORIZON_NAMES], self.stretches.tolist())
        content = msgspec.json.format(msgspec.json.encode(config), indent=2)
        (folder / CONFIG).write_bytes(content + b"\n")

    def forecast(
        self, snapshots: Sequence[CascadeSnapshot], horizons: NDArray[np.float64]
    ) -> Increments:
        horizons = np.asarray(horizons, np.float64)
        shape = (len(snapshots), len(horizons))
        batch = gather(snapshots)
        rows = features_of(batch, np.broadcast_to(horizons, shape))
        raw = self.raw_quantiles(rows.reshape(-1, rows.shape[-1]))
        quantiles = np.sort(stretch(raw, self.stretches)).reshape(*shape, len(LEVELS))
        return settle(quantiles, log_mean_of(quantiles), batch.ages, horizons)

    def raw_quantiles(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the trees say of rows of features, before any correction, shape (rows, levels)."""
        raw: NDArray[np.float64] = predict(self._trees, np.ascontiguousarray(rows))
        return raw
