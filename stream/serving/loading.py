"""Models ready to serve: loaded, warmed up, and the cost of their calls known.

LoadingError(TidecastError)    an update that does not lead to the version that it names
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np

from models import registry
from models.files import CARD, digest
from models.interface import Forecaster
from models.kernels import threads
from stream.processes import starting
from stream.serving.cost import CallCost
from stream.settings import Settings
from topics.errors import TidecastError
from topics.records import CascadeSnapshot, ModelUpdate

# Snapshots and events a snapshot of the calls that warm a model up. Two sizes tell the cost of a
# call from that of its events.
_WARM_UP = ((1, 8), (32, 64))


class LoadingError(TidecastError):
    """An update that does not lead to the version that it names."""


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to be called.

    Attributes:
        cost: of its calls; learns from them.
        digest: sha256 of the version's card, which holds those of its other files.
    """

    model: Forecaster
    cost: CallCost
    digest: str

    def __str__(self) -> str:
        return f"{self.model.name} {self.model.version}"


def load(settings: Settings, name: str, version: str | None = None) -> Loaded:
    """A version from the registry of the settings, the newest by default.

    Raises:
        UnknownModelError: no such name or version.
        BrokenModelError: its files are missing, altered or unreadable.
    """
    return _load(settings, name, version, Path(settings.registry or registry.SHIPPED))


def load_known(settings: Settings, name: str, version: str | None = None) -> Loaded:
    """`load`, from the models that ship where the registry of the settings has none of that name.

    Raises:
        UnknownModelError: no such name or version.
        BrokenModelError: its files are missing, altered or unreadable.
    """
    if name not in registry.list_names(settings.registry or None):
        settings = settings.having(registry="")
    return load(settings, name, version)


def load_update(settings: Settings, update: ModelUpdate) -> Loaded:
    """The version that an update names, wherever it lies.

    Raises:
        LoadingError: there is no such folder, or another card lies in it.
        BrokenModelError: its files are missing, altered or unreadable.
    """
    folder = verified_folder(update)
    return _load(settings, update.name, update.version, folder.parent.parent)


def verified_folder(update: ModelUpdate) -> Path:
    """The folder of the version that an update names, once its card is the one that was meant.

    Raises:
        LoadingError: there is no such folder, or another card lies in it.
    """
    folder = folder_of(update)
    try:
        got = digest(folder / CARD)
    except OSError as error:
        raise LoadingError(
            f"{update.name} {update.version}: {error}; every worker has to see this folder"
        ) from error
    if got != update.digest:
        raise LoadingError(
            f"{folder / CARD}: got digest {got}; the update says {update.digest}; "
            "a published version stays as it is: publish the change under another version"
        )
    return folder


def describe(name: str, version: str, root: Path) -> ModelUpdate:
    """The update that names a version of a registry. It has to be there."""
    folder = root.resolve() / name / version
    return ModelUpdate(name, version, folder.as_uri(), digest(folder / CARD))


def folder_of(update: ModelUpdate) -> Path:
    """The folder of the version that an update names.

    Raises:
        LoadingError: it is on no path that leads to a version of that name.
    """
    parts = urlsplit(update.uri)
    if parts.scheme == "":
        folder = Path(update.uri)
    elif parts.scheme == "file" and parts.netloc in ("", "localhost"):
        folder = Path(url2pathname(parts.path))
    else:
        raise LoadingError(
            f"{update.name} {update.version}: got uri {update.uri!r}; expected a path or file://"
        )
    if (folder.parent.name, folder.name) != (update.name, update.version):
        raise LoadingError(
            f"{update.name} {update.version}: got uri {update.uri!r}; expected a folder "
            f".../{update.name}/{update.version}; `tidecast models publish` writes it so"
        )
    return folder


def warm_up(model: Forecaster, horizons: Sequence[float]) -> CallCost:
    """Has the model answer a few times: what it compiles then would delay its first forecasts.

    Returns:
        what its calls cost, from those that came after the compiling.
    """
    cost = CallCost()
    ages = np.array(horizons, np.float64)
    for snapshots, events in _WARM_UP:
        asked = [_invented(events, horizons[0] / 2)] * snapshots
        model.forecast(asked, ages)
        began = time.perf_counter()
        model.forecast(asked, ages)
        cost.learn(snapshots, snapshots * events, time.perf_counter() - began)
    return cost


def _load(settings: Settings, name: str, version: str | None, root: Path) -> Loaded:
    starting.tell(f"loading {name} {version or ''}".rstrip())
    model = registry.load(name, version, root, settings.model_classes)
    limit_threads(settings.model_threads)
    card = digest(root / name / model.version / CARD)
    starting.tell(f"warming up {name} {model.version}")
    return Loaded(model, warm_up(model, settings.horizons), card)


def limit_threads(count: int) -> None:
    """Gives kernels so many threads, and PyTorch where a model has loaded it.

    By themselves they take every core. Threads that come later have as many; one that has computed
    with PyTorch keeps what it had.
    """
    threads.limit(count)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)


def _invented(events: int, age: float) -> CascadeSnapshot:
    """A snapshot of a cascade that never was: everyone answers the post."""
    parents = np.where(np.arange(events) == 0, -1, 0).astype("<i4")
    return CascadeSnapshot(
        snapshot_id="warm-up@n1",
        cascade_id="warm-up",
        trigger="n1",
        published_at=0.0,
        age=age,
        observed_count=events,
        rooted=True,
        delay=np.linspace(0, age, events, dtype="<f4").tobytes(),
        parent=parents.tobytes(),
        depth=(parents + 1).tobytes(),
        user=np.arange(events, dtype="<i4").tobytes(),
    )
