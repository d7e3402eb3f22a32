"""The model that is served: the weighted mean of several, and a calibration of that.

Means of logarithms and quantiles are averaged level by level. Models that err in different ways
err less together; which of them, and with what weights, the validation part chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.batch import Batch
from models.calibration import Calibration
from models.features import FeatureForecaster, features_of
from models.files import CARD, digest
from models.interface import Forecaster, Increments
from models.quantiles import settle

CONFIG = "config.json"


class Member(NamedTuple):
    """A model of the mixture, and its weight."""

    model: Forecaster
    weight: float


class MemberConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a member is found: a version of the same registry, and the digest of its card."""

    name: str
    version: str
    digest: str
    weight: float


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a mixture."""

    members: list[MemberConfig]
    calibration: Calibration


class Served(Forecaster):
    """The mixture as a forecaster.

    Attributes:
        members: weights sum to 1.
        calibration: of the weighted mean.
    """

    name = "served"

    def __init__(
        self,
        members: Sequence[Member],
        calibration: Calibration | None = None,
        version: str = "0",
    ) -> None:
        self.members = list(members)
        self.calibration = Calibration() if calibration is None else calibration
        self.version = version

    def forecast_batch(self, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
        mean: NDArray[np.float64] = np.zeros(horizons.shape)
        quantiles: NDArray[np.float64] | float = 0.0
        rows = None
        for model, weight in self.members:
            if isinstance(model, FeatureForecaster):
                rows = features_of(batch, horizons) if rows is None else rows
                answer = model.forecast_features(rows, batch, horizons)
            else:
                answer = model.forecast_batch(batch, horizons)
            mean = mean + weight * answer.log_mean
            quantiles = quantiles + weight * answer.quantiles
        mean, levels = self.calibration.apply(mean, np.asarray(quantiles), batch.ages, horizons)
        return settle(levels, mean, batch.ages, horizons)

    @classmethod
    def load(cls, folder: Path, version: str, member: Callable[[str, str], Forecaster]) -> Served:
        """The mixture in a folder that `save` wrote.

        Args:
            folder: of the version.
            version: its version.
            member: loads a version of the same registry.

        Raises:
            OSError: a file cannot be read.
            ValueError: a file is not what it should be, or a member is not the one that was mixed.
        """
        config = msgspec.json.decode((folder / CONFIG).read_bytes(), type=Config)
        members = []
        for one in config.members:
            found = digest(folder.parent.parent / one.name / one.version / CARD)
            if found != one.digest:
                raise ValueError(
                    f"{one.name} {one.version} is not the one that was mixed: its card has digest "
                    f"{found}, expected {one.digest}; install both of the same making"
                )
            members.append(Member(member(one.name, one.version), one.weight))
        return cls(members, config.calibration, version)

    def save(self, folder: Path) -> None:
        """Writes the configuration into a folder that exists, beside members already written."""
        members = [
            MemberConfig(
                model.name,
                model.version,
                digest(folder.parent.parent / model.name / model.version / CARD),
                weight,
            )
            for model, weight in self.members
        ]
        content = msgspec.json.encode(Config(members, self.calibration))
        (folder / CONFIG).write_bytes(msgspec.json.format(content) + b"\n")
