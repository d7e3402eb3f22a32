"""What makes the ranker of each edge: the decayed count, or a network's version as it is served."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client import CollectorRegistry

from models import registry
from models.caches.decayed import DecayedCountRanker
from models.files import CARD, digest
from models.interface import Ranker
from stream.processes import starting
from stream.serving.current import Serving
from stream.serving.loading import limit_threads, verified_folder
from stream.settings import Settings
from topics.records import EdgeWindow, ModelUpdate

if TYPE_CHECKING:  # with it comes PyTorch, which the decayed count does without
    from models.caches.model import RankerModel

DECAYED = "decayed"
MakeRanker = Callable[[], Ranker]


@dataclass(frozen=True)
class LoadedRanker:
    """A version of a network that is ready to rank.

    Attributes:
        make: makes the ranker of an edge.
        digest: sha256 of the version's card.
    """

    model: RankerModel
    make: MakeRanker
    digest: str

    def __str__(self) -> str:
        return f"{self.model.name} {self.model.version}"


def decayed(settings: Settings) -> MakeRanker:
    """Makes rankers that need no model."""
    return partial(DecayedCountRanker, *bounds(settings))


def load(settings: Settings, name: str, version: str | None = None) -> LoadedRanker:
    """A version from the registry of the settings, the newest by default.

    Raises:
        UnknownModelError: no such name or version.
        BrokenModelError: its files are missing, altered or unreadable.
    """
    return _load(settings, name, version, Path(settings.registry or registry.SHIPPED))


def load_update(settings: Settings, update: ModelUpdate) -> LoadedRanker:
    """The version that an update names, wherever it lies.

    Raises:
        LoadingError: there is no such folder, or another card lies in it.
        UnknownModelError: it does not rank.
        BrokenModelError: its files are missing, altered or unreadable.
    """
    root = verified_folder(update).parent.parent
    return _load(settings, update.name, update.version, root)


def of_ranker(
    settings: Settings, updates: Sequence[ModelUpdate], metrics: CollectorRegistry
) -> Serving[LoadedRanker]:
    """The version of the model `settings.ranker` that a ranker goes by."""
    name = settings.ranker
    return Serving(
        "ranker", name, registry.list_versions(name, settings.registry or None),
        partial(load, settings, name), partial(load_update, settings), updates, metrics,
    )  # fmt: skip


def bounds(settings: Settings) -> tuple[int, float, int]:
    """Objects of a cache, their share, and objects remembered, as rankers are told."""
    return settings.cache_objects, settings.cache_share, settings.max_objects


def _load(settings: Settings, name: str, version: str | None, root: Path) -> LoadedRanker:
    starting.tell(f"loading {name} {version or ''}".rstrip())
    model = registry.load_ranker(name, version, root)
    limit_threads(settings.model_threads)
    make: MakeRanker = partial(model.ranker, *bounds(settings))
    starting.tell(f"warming up {name} {model.version}")
    _warm_up(make())
    return LoadedRanker(model, make, digest(root / name / model.version / CARD))


def _warm_up(ranker: Ranker) -> None:
    """Has a ranker compile what all of them run."""
    window = EdgeWindow(
        "warm-up", 0.0, 1.0, 0, 1, ["warm-up"],
        np.array([2], "<i4").tobytes(), np.zeros(1, "<i8").tobytes(), np.zeros(2, "<i4").tobytes(),
    )  # fmt: skip
    ranker.step(window)
    ranker.scores(["warm-up"])
