"""Which version of its model a worker serves: the one at the start, and those that updates bring.

    start:   the latest update that loads, else the newest version of the registry that does
    update:  load -> warm up -> replace, between two batches; what does not load replaces nothing

A batch asks once for the `current` one, so all of it is answered by one version. Updates come in
a thread of their own, and the old version serves on while the new one is made ready there.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Generic, Protocol, TypeVar

from prometheus_client import CollectorRegistry

from models.registry import BrokenModelError, list_versions
from stream.serving.loading import Loaded, load, load_update
from stream.settings import Settings
from stream.telemetry.families import Families
from topics.records import ModelUpdate

log = logging.getLogger(__name__)

# How long a thread that computes in Python may keep the interpreter from those that wait for it.
# By default 5 ms, and a forecast passes it from thread to thread some ten times.
_SWITCH_SECONDS = 0.0005


class Model(Protocol):
    """What is told of a version."""

    @property
    def name(self) -> str:
        """Of the model."""

    @property
    def version(self) -> str:
        """Of the model."""


class Ready(Protocol):
    """A version that is ready to be called.

    Attributes:
        digest: sha256 of its card.
    """

    @property
    def model(self) -> Model:
        """What answers."""

    @property
    def digest(self) -> str:
        """Of the version's card."""


R = TypeVar("R", bound=Ready)


class Serving(Generic[R]):
    """The version of one model that is served now.

    Args:
        role: of the worker, for the metrics' names.
        name: of the model.
        versions: those of the registry, the newest last, to begin with where no update brings one.
        load: one of them, ready; the newest where None is asked for.
        follow: the version that an update names, ready.
        updates: of that model, those that there are already, the latest last.
        registry: where the metrics go.

    Raises:
        RegistryError: no update loads, and the registry has no version that does.
    """

    def __init__(
        self,
        role: str,
        name: str,
        versions: Sequence[str],
        load: Callable[[str | None], R],
        follow: Callable[[ModelUpdate], R],
        updates: Sequence[ModelUpdate],
        registry: CollectorRegistry,
    ) -> None:
        families = Families(role, registry)
        self._name = name
        self._follow = follow
        self._swaps = families.counter("swaps", "Versions replaced by others")
        self._failed = families.counter("failed_swaps", "Updates that could not be followed")
        self._info = families.gauge(
            "model_info", "1 for the version that is served", ["name", "version"]
        )
        found = next(filter(None, map(self._load, reversed(updates))), None)
        self._current = found or self._newest(versions, load)
        self._announce()

    def current(self) -> R:
        """The version to call. It is replaced whole, so any thread may ask."""
        return self._current

    def take(self, update: ModelUpdate) -> None:
        """Serves the version that an update names, once it is ready; stays with this one if not.

        An update of another model, or to the version that is served, changes nothing.
        """
        old = self._current
        if update.name != self._name:
            return
        if update.version == old.model.version:
            if update.digest != old.digest:
                # What is said under one id would contradict itself.
                self.refuse(
                    f"{old} is served from a card of digest {old.digest}; the update says "
                    f"{update.digest}; publish a changed model under another version"
                )
            return
        with _yielding():
            new = self._load(update)
        if new is None:
            return
        self._current = new
        self._announce()
        self._swaps.inc()
        log.info("%s is served now, in place of %s", new, old)

    def refuse(self, reason: str) -> None:
        """Counts an update that cannot be followed, and says why."""
        self._failed.inc()
        log.error("an update of the model is not followed: %s", reason)

    def _load(self, update: ModelUpdate) -> R | None:
        """The version that an update names, ready; None if it cannot be had."""
        try:
            return self._follow(update)
        except Exception as error:  # a version may be broken in ways that only its code knows
            log.debug("%s %s does not load", update.name, update.version, exc_info=True)
            self.refuse(f"{type(error).__name__}: {error}")
            return None

    def _newest(self, versions: Sequence[str], load: Callable[[str | None], R]) -> R:
        """The newest version that loads. A broken one is no reason to answer nobody."""
        for version in reversed(versions[1:]):
            try:
                return load(version)
            except BrokenModelError as error:
                self.refuse(f"{error}; the version before it is tried")
        return load(versions[0] if versions else None)

    def _announce(self) -> None:
        model = self._current.model
        self._info.clear()
        self._info.labels(model.name, model.version).set(1)


def of_forecaster(
    settings: Settings, updates: Sequence[ModelUpdate], registry: CollectorRegistry
) -> Serving[Loaded]:
    """The version of the model `settings.forecaster` that a forecaster serves."""
    name = settings.forecaster
    return Serving(
        "forecaster", name, list_versions(name, settings.registry or None),
        partial(load, settings, name), partial(load_update, settings), updates, registry,
    )  # fmt: skip


@contextmanager
def _yielding() -> Iterator[None]:
    """Has this thread give way sooner to those that serve."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
