"""The model that is served: the weighted mean of several, and a calibration of that.

Means of logarithms and quantiles are averaged level by level. Models that err in different ways
err less together; which of them, and with what weights, the validation part chooses.

What has learnt from cascades says little of one that is like none of them
(`models.cascades.familiarity`). The stranger a cascade is, the more the point is that of a closed
form, the fall-back, and the interval reaches over what both say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.cascades.batch import Batch
from models.cascades.familiarity import Familiarity
from models.cascades.features import features_of
from models.files import CARD, digest
from models.forecasters.calibration import Calibration
from models.forecasters.quantiles import MEDIAN, settle
from models.forecasters.reading import FeatureForecaster
from models.interface import Forecaster, Increments, ReadingForecaster

CONFIG = "config.json"
FAMILIARITY = "familiarity.safetensors"


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
    """Of a mixture; a fall-back has a weight of 0."""

    members: list[MemberConfig]
    calibration: Calibration
    fallback: MemberConfig | None = None


class Fallback(NamedTuple):
    """What answers where the members have seen nothing of the kind."""

    model: Forecaster
    familiarity: Familiarity


class Served(Forecaster):
    """The mixture as a forecaster.

    Attributes:
        members: weights sum to 1.
        calibration: of the weighted mean.
        fallback: for cascades unlike those that the members have learnt from.
    """

    name = "served"

    def __init__(
        self,
        members: Sequence[Member],
        calibration: Calibration | None = None,
        version: str = "0",
        fallback: Fallback | None = None,
    ) -> None:
        self.members = list(members)
        self.calibration = Calibration() if calibration is None else calibration
        self.version = version
        self.fallback = fallback

    @property
    def models(self) -> list[Forecaster]:
        """All that answer: the members, and the fall-back."""
        others = [] if self.fallback is None else [self.fallback.model]
        return [model for model, _ in self.members] + others

    def forecast_batch(self, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
        """The members' weighted mean, calibrated; those that read alike read once."""
        mean: NDArray[np.float64] = np.zeros(horizons.shape)
        quantiles: NDArray[np.float64] | float = 0.0
        readings: dict[str, Any] = {}
        for model, weight in self.members:
            if isinstance(model, ReadingForecaster):
                if model.reading not in readings:
                    readings[model.reading] = model.read(batch, horizons)
                answer = model.answer(readings[model.reading], batch, horizons)
            else:
                answer = model.forecast_batch(batch, horizons)
            mean = mean + weight * answer.log_mean
            quantiles = quantiles + weight * answer.quantiles
        mean, levels = self.calibration.apply(mean, np.asarray(quantiles), batch, horizons)
        if self.fallback is not None:
            rows = readings.get(FeatureForecaster.reading)
            rows = features_of(batch, horizons) if rows is None else rows
            mean, levels = _fallen_back(self.fallback, mean, levels, rows, batch, horizons)
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

        def one(told: MemberConfig) -> Forecaster:
            found = digest(folder.parent.parent / told.name / told.version / CARD)
            if found != told.digest:
                raise ValueError(
                    f"{told.name} {told.version} is not the one that was mixed: its card has "
                    f"digest {found}, expected {told.digest}; install both of the same making"
                )
            return member(told.name, told.version)

        members = [Member(one(told), told.weight) for told in config.members]
        fallback = None
        if config.fallback is not None:
            familiarity = Familiarity.load(folder / FAMILIARITY)
            fallback = Fallback(one(config.fallback), familiarity)
        return cls(members, config.calibration, version, fallback)

    def save(self, folder: Path) -> None:
        """Writes the configuration into a folder that exists, beside members already written."""

        def told(model: Forecaster, weight: float) -> MemberConfig:
            card = folder.parent.parent / model.name / model.version / CARD
            return MemberConfig(model.name, model.version, digest(card), weight)

        config = Config(
            [told(*member) for member in self.members],
            self.calibration,
            None if self.fallback is None else told(self.fallback.model, 0.0),
        )
        (folder / CONFIG).write_bytes(msgspec.json.format(msgspec.json.encode(config)) + b"\n")
        if self.fallback is not None:
            self.fallback.familiarity.save(folder / FAMILIARITY)


def _fallen_back(
    fallback: Fallback,
    mean: NDArray[np.float64],
    quantiles: NDArray[np.float64],
    rows: NDArray[np.float64],
    batch: Batch,
    horizons: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and quantiles gone over to the fall-back's, by how strange the features `rows` are."""
    strange = fallback.familiarity.strangeness(rows)
    some = np.flatnonzero((strange > 0).any(axis=1))
    if not len(some):
        return mean, quantiles
    said = fallback.model.forecast_batch(batch, horizons)
    both = np.minimum(quantiles, said.quantiles)
    both[..., MEDIAN] = said.quantiles[..., MEDIAN]
    both[..., MEDIAN + 1 :] = np.maximum(quantiles, said.quantiles)[..., MEDIAN + 1 :]
    mean = mean + strange * (said.log_mean - mean)
    return mean, quantiles + strange[..., None] * (both - quantiles)
