"""How each kind of model is made: `RECIPES` maps its name to the function that trains it.

A recipe sees the training and validation parts of its sources, never the test parts. It is given
a seed, and tells how it gets on through a callback, so that commands, evaluation and tests train
alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from models.datasets import Cascade
from models.interface import Forecaster


class Source(NamedTuple):
    """Recorded cascades of one kind.

    Attributes:
        name: of the file, or whatever tells it from others.
        train: cascades to learn from.
        validation: later ones, to choose by, and to learn from once all is chosen.
        end: unix seconds at which the recording ends; what came later is not known.
        share: of the weight of all sources.
    """

    name: str
    train: Sequence[Cascade]
    validation: Sequence[Cascade]
    end: float
    share: float = 1.0


class Report(Protocol):
    """Told how a training gets on."""

    def __call__(self, stage: str, done: int, total: int, loss: float | None = None) -> None:
        """Args:
        stage: such as `epochs` or `quantile 0.05`; a new one starts a new bar.
        done: steps of the stage that are done.
        total: steps it will take at most.
        loss: latest on the validation part, where there is one.
        """


class Recipe(Protocol):
    """Trains one kind of model."""

    def __call__(
        self, sources: Sequence[Source], *, seed: int, report: Report
    ) -> tuple[Forecaster, dict[str, Any]]:
        """The model, and what the training was told and found, for its card."""


def silent(stage: str, done: int, total: int, loss: float | None = None) -> None:
    """A `Report` that tells nobody."""


RECIPES: Mapping[str, Recipe] = {}
