"""How a kind of model is made: what a recipe is given, what it tells, and the two kinds there are.

A recipe sees the training and validation parts of its sources, never the test parts. It is given
a seed, and tells how it gets on through a callback, so that commands, evaluation and tests train
alike. Most make a model for any age and horizon; some, which the literature compares with, make
one for a single window and must be told which. `models.training` has the recipes by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from models.cascades.recordings import Source
from models.cascades.windows import Window
from models.interface import Forecaster


class Trained(NamedTuple):
    """What a training makes.

    Attributes:
        model: for use.
        found: what the training was told and found, for the model's card.
        rehearsal: the model as it was before it learnt from the validation part, which a mixture
            of models is chosen by; the model itself where it never did.
    """

    model: Forecaster
    found: dict[str, Any]
    rehearsal: Forecaster


class Report(Protocol):
    """Told how a training gets on."""

    def __call__(self, stage: str, done: int, total: int, loss: float | None = None) -> None:
        """Args:
        stage: such as `epochs` or `quantile 0.05`; a new one starts a new bar.
        done: steps of the stage that are done.
        total: steps it will take at most.
        loss: latest on the validation part, where there is one.
        """


def silent(stage: str, done: int, total: int, loss: float | None = None) -> None:
    """A `Report` that tells nobody."""


class Recipe(ABC):
    """Trains one kind of model.

    Attributes:
        description: of what it makes, one line for the model's card.
        seeded: whether another seed makes another model.
    """

    description: str
    seeded: bool

    @abstractmethod
    def __call__(
        self,
        sources: Sequence[Source],
        *,
        seed: int,
        report: Report = silent,
        window: Window | None = None,
        **options: Any,
    ) -> tuple[Forecaster, dict[str, Any]]:
        """The model, and what the training was told and found, for its card.

        Args:
            sources: to learn from.
            seed: the same seed, sources and options make the same model.
            report: is told how it gets on.
            window: that the model is for; a recipe for any time does not look at it.
            options: what this recipe can be told besides.
        """


class AnyTimeTraining(Protocol):
    """Makes a model for any age and any horizon."""

    def __call__(self, sources: Sequence[Source], *, seed: int, report: Report) -> Trained:
        """As `Recipe`; it may take options besides, which have defaults."""


class WindowTraining(Protocol):
    """Makes a model for one window."""

    def __call__(
        self, sources: Sequence[Source], *, window: Window, seed: int, report: Report
    ) -> tuple[Forecaster, dict[str, Any]]:
        """As `Recipe`; it may take options besides, which have defaults."""


@dataclass(frozen=True)
class AnyTimeRecipe(Recipe):
    """Of a model that serves any age and any horizon."""

    train: AnyTimeTraining
    description: str
    seeded: bool = True

    def __call__(
        self,
        sources: Sequence[Source],
        *,
        seed: int,
        report: Report = silent,
        window: Window | None = None,
        **options: Any,
    ) -> tuple[Forecaster, dict[str, Any]]:
        """Makes one."""
        made = self.train(sources, seed=seed, report=report, **options)
        return made.model, made.found


@dataclass(frozen=True)
class WindowRecipe(Recipe):
    """Of a model that serves the window it is trained for, and no other."""

    train: WindowTraining
    description: str
    seeded: bool = True

    def __call__(
        self,
        sources: Sequence[Source],
        *,
        seed: int,
        report: Report = silent,
        window: Window | None = None,
        **options: Any,
    ) -> tuple[Forecaster, dict[str, Any]]:
        """Makes one."""
        if window is None:
            raise ValueError(
                f"got no window; this is for one window alone ({self.description}), so it has to "
                "be told which"
            )
        return self.train(sources, window=window, seed=seed, report=report, **options)
