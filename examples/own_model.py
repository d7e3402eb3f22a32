"""A model of one's own: written as a version, served by a forecaster, judged beside the others.

python -m examples.own_model runs/models

writes it. A card is data, so a role imports the class that it names only where a setting names it
too:

    export TIDECAST_REGISTRY=runs/models TIDECAST_FORECASTER=steady PYTHONPATH=.
    export TIDECAST_MODEL_CLASSES=examples.own_model:Steady
    tidecast forecaster

Steady expects as many events in each doubling of a cascade's age as it had in the last one.

What a forecaster owes: a distribution for any age and horizon, which does not depend on the rest of
the batch; `settle` makes one of raw quantiles. `save` and `load` keep what it needs in its folder,
beside the card; this one keeps how far off it is as a rule.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from models import registry
from models.cascades.batch import Batch
from models.forecasters.quantiles import settle
from models.interface import LEVELS, Forecaster, Increments

DEVIATES = np.array([NormalDist().inv_cdf(level) for level in LEVELS.tolist()])
FILE = "spread.json"


class Steady(Forecaster):
    """As many events in each doubling of its age as in the last.

    Attributes:
        spread: standard deviation of log2(1 + increment) about that.
    """

    name = "steady"

    def __init__(self, spread: float = 1.0, version: str = "1") -> None:
        self.spread = spread
        self.version = version

    def forecast_batch(self, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
        rows = np.repeat(np.arange(len(batch.ages)), np.diff(batch.offsets))
        early = np.bincount(rows, batch.delays < batch.ages[rows] / 2, minlength=len(batch.ages))
        lately = batch.counts - early
        ages = np.maximum(batch.ages, 1.0)[:, None]
        doublings = np.log2(np.maximum(horizons / ages, 1.0))
        center = np.log2(1 + lately[:, None] * doublings)
        quantiles = center[:, :, None] + self.spread * DEVIATES
        return settle(quantiles, center, batch.ages, horizons)

    def save(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps({"spread": self.spread}))

    @classmethod
    def load(cls, folder: Path, version: str) -> Steady:
        return cls(float(json.loads((folder / FILE).read_text())["spread"]), version)


def write(root: Path) -> Path:
    """Writes a version of it into a registry, and returns its folder."""
    return registry.write(
        Steady(),
        root,
        description="As many events in each doubling of its age as in the last.",
        command=f"python -m examples.own_model {root}",
        data=[],
        training={},
        metrics={},
    )


if __name__ == "__main__":
    from examples import own_model  # as roles find it: the class of a script is nobody else's

    print(own_model.write(Path(sys.argv[1])))
