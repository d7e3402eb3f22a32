"""The model that makes rankers: the decayed count, or a version of a network and its successors.

A version that was published on `model.updates` comes first, then the newest of the registry. While
the role runs, a thread loads each version that is published; one that cannot be loaded is refused
and the old one stays.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client import Counter

from models import registry
from models.decayed import DecayedCountRanker
from models.interface import Ranker
from stream.loading import LoadingError, limit_threads, verified_folder
from stream.model_watch import ModelWatch
from stream.settings import Settings
from topics.errors import TidecastError
from topics.records import EdgeWindow, ModelUpdate

if TYPE_CHECKING:  # with it comes PyTorch, which the decayed count does without
    from models.ranker_model import RankerModel

log = logging.getLogger(__name__)

DECAYED = "decayed"
MakeRanker = Callable[[], Ranker]


class RankingModel:
    """What every edge's ranker is made by.

    Attributes:
        make: makes the ranker of an edge.

    Args:
        settings: name and registry of the model, the bounds of its rankers, the broker.
        refusals: counts updates that could not be followed.

    Raises:
        RegistryError: the registry does not hold the model, or it cannot be read.
        BrokerError: no broker answers.
    """

    def __init__(self, settings: Settings, refusals: Counter) -> None:
        self._settings = settings
        self._refusals = refusals
        self._next: MakeRanker | None = None
        self._watch: ModelWatch | None = None
        if settings.ranker == DECAYED:
            self.make: MakeRanker = partial(DecayedCountRanker, *bounds(settings))
            return
        self._watch = ModelWatch(settings, settings.ranker)
        for update in reversed(self._watch.updates):
            try:
                self.make = self._loaded(_load_update(update))
                return
            except TidecastError as error:
                self.refuse(str(error))
        root = Path(settings.registry) if settings.registry else None
        self.make = self._loaded(registry.load_ranker(settings.ranker, root=root))

    def start(self) -> None:
        """Follows what is published, in a thread of its own."""
        if self._watch is not None:
            self._watch.start(self)

    def stop(self) -> None:
        """Follows no more."""
        if self._watch is not None:
            self._watch.stop()

    def swapped(self) -> bool:
        """Lets a version that has been loaded take over; whether there was one."""
        if self._next is None:
            return False
        self.make, self._next = self._next, None
        return True

    def take(self, update: ModelUpdate) -> None:
        """Loads a version that was published, in the watch's thread."""
        try:
            self._next = self._loaded(_load_update(update))
        except TidecastError as error:
            self.refuse(str(error))

    def _loaded(self, model: RankerModel) -> MakeRanker:
        make = prepared(self._settings, model)
        log.info("%s %s ranks", model.name, model.version)
        return make

    def refuse(self, reason: str) -> None:
        """Notes an update that cannot be followed."""
        self._refusals.inc()
        log.error("%s; the ranker stays as it is", reason)


def prepared(settings: Settings, model: RankerModel) -> MakeRanker:
    """A maker of rankers, once one of them has compiled what all of them run."""
    limit_threads(settings.model_threads)
    make: MakeRanker = partial(model.ranker, *bounds(settings))
    _warm_up(make())
    return make


def bounds(settings: Settings) -> tuple[int, float, int]:
    """Objects of a cache, their share, and objects remembered, as rankers are told."""
    return settings.cache_objects, settings.cache_share, settings.max_objects


def _load_update(update: ModelUpdate) -> RankerModel:
    folder = verified_folder(update)
    try:
        return registry.load_ranker(update.name, update.version, folder.parent.parent)
    except registry.RegistryError as error:
        raise LoadingError(str(error)) from error


def _warm_up(ranker: Ranker) -> None:
    order = np.zeros(2, "<i4")
    window = EdgeWindow(
        "warm-up", 0.0, 1.0, 0, 1, ["warm-up"],
        np.array([2], "<i4").tobytes(), np.zeros(1, "<i8").tobytes(), order.tobytes(),
    )  # fmt: skip
    ranker.step(window)
    ranker.scores(["warm-up"])
