"""Models that are to be compared, and a folder in which they are kept from one run to the next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from models import registry
from models.cascades.windows import Window
from models.files import DataSet
from models.interface import Forecaster
from models.learning.recipes import Recipe

# How every file is split that `tidecast train` learns from.
CHRONOLOGICAL = "chronological"


class Candidate(NamedTuple):
    """A model that is ready to be measured.

    Attributes:
        name: as asked for; that of its recipe, or of the registry.
        window: that it is for; None if for any.
        seed: that it was trained with; None where it came from a registry.
        model: the forecaster.
        seconds: that its training took; None where that is not known.
    """

    name: str
    window: Window | None
    seed: int | None
    model: Forecaster
    seconds: float | None


class Kept:
    """Trained models in a folder, `<folder>/<seed>/<name>/<version>`, found again by their cards.

    A model is taken from there if its recipe, seed, split and the digests of its data are those
    asked for; one that `tidecast train --output <folder>/<seed>` wrote is, too. That a recipe
    itself has changed cannot be seen: then begin with another folder.
    """

    def __init__(self, folder: Path, data: Sequence[DataSet], split: str, command: str) -> None:
        """Args:
        folder: made where it is missing.
        data: that models are trained on.
        split: how it is divided.
        command: that trains them, for their cards.
        """
        self.folder = folder
        self.data = data
        self.split = split
        self.command = command

    def find(self, name: str, seed: int) -> Candidate | None:
        """The newest that fits, if there is one."""
        root = self.folder / str(seed)
        for version in reversed(registry.list_versions(name, root)):
            card = registry.read_card(name, version, root)
            told = card.training
            made = told.get("recipe", name), told.get("seed"), told.get("split", CHRONOLOGICAL)
            if made == (name, seed, self.split) and _digests(card.data) == _digests(self.data):
                model = registry.load(name, version, root)
                return Candidate(name, None, seed, model, told.get("seconds"))
        return None

    def keep(self, made: Candidate, recipe: Recipe, found: dict[str, Any]) -> None:
        """Writes a model under the next version that is free."""
        root = self.folder / str(made.seed)
        versions = registry.list_versions(made.name, root)
        made.model.version = str(int(versions[-1]) + 1) if versions else "1"
        told = {"recipe": made.name, "seed": made.seed, "split": self.split}
        registry.write(
            made.model,
            root,
            description=recipe.description,
            command=self.command,
            data=self.data,
            training=found | told | {"seconds": made.seconds},
            metrics={},
        )


def _digests(data: Sequence[DataSet]) -> list[str]:
    return sorted(one.digest for one in data)
