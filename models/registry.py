"""The registry of model versions: a folder `<name>/<version>/` for each, with a model card.

The card, `card.json`, states what the version is, what it was trained on, how well it did, the
command that made it, and the digest of each of its files, which is verified before the files are
read. A version is whole numbers joined by dots; the highest is the newest.

A card says of which class its model is. It can name those of `KINDS`, and a class of one's own as
`module:Class`, which is imported only where who loads it has named it as well: a card is data, and
what runs is for whoever runs it to say.

    RegistryError(TidecastError)
        UnknownModelError     no such name, or no such version of it
        BrokenModelError      a version whose card or files are missing, altered or unreadable
"""

from __future__ import annotations

import importlib
import re
import stat
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from models.files import CARD, DataSet, digest
from models.forecasters.served import Served
from models.interface import Forecaster
from topics.errors import TidecastError

if TYPE_CHECKING:
    from models.caches.model import RankerModel

SHIPPED = Path(__file__).parent / "weights"
# The class of each kind of model, which reads it from its folder. They are imported when they are
# needed: a network needs PyTorch, which takes seconds to import.
KINDS: Mapping[str, str] = {
    "Boosting": "models.forecasters.boosting",
    "CacheMamba": "models.caches.model",
    "CasFT": "models.forecasters.neural",
    "ConCat": "models.forecasters.neural",
    "MLP": "models.forecasters.neural",
    "RankTransformer": "models.caches.model",
    "Seismic": "models.forecasters.seismic",
    "Served": "models.forecasters.served",
}
# Those that rank objects; the others forecast.
RANKERS = frozenset({"CacheMamba", "RankTransformer"})
_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*")
_OWN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


class RegistryError(TidecastError):
    """A model that cannot be had from the registry."""


class UnknownModelError(RegistryError):
    """A name or a version that the registry does not hold."""


class BrokenModelError(RegistryError):
    """A version whose card or files are missing, altered or unreadable."""


class ModelCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a version is and where it comes from.

    Attributes:
        kind: class of the model, a key of `KINDS`, or `module:Class` of one's own.
        created: date, ISO 8601.
        command: what made it.
        data: what it was trained on.
        training: what the training was told, and what it found.
        metrics: what was measured, on the parts named there.
        files: sha256 of each file of the version but the card, by name.
    """

    name: str
    version: str
    kind: str
    description: str
    created: str
    command: str
    data: list[DataSet]
    training: dict[str, Any]
    metrics: dict[str, Any]
    files: dict[str, str]


def list_names(root: Path | str | None = None) -> list[str]:
    """The names of the models in the registry, sorted."""
    folder = _root(root)
    if not folder.is_dir():
        return []
    return sorted(child.name for child in folder.iterdir() if _versions(child))


def list_forecasters(root: Path | str | None = None) -> list[str]:
    """The names of those that forecast, sorted."""
    return [name for name in list_names(root) if read_card(name, root=root).kind not in RANKERS]


def list_versions(name: str, root: Path | str | None = None) -> list[str]:
    """The versions of a model, the newest last; empty where there is no such model."""
    return _versions(_root(root) / name)


def read_card(name: str, version: str | None = None, root: Path | str | None = None) -> ModelCard:
    """The card of a version, the newest by default.

    Raises:
        UnknownModelError: no such name or version.
        BrokenModelError: the card is not one, or is that of another model.
    """
    return _read_card(_find(name, version, _root(root)))


def load(
    name: str,
    version: str | None = None,
    root: Path | str | None = None,
    classes: Collection[str] = (),
) -> Forecaster:
    """A forecaster, ready to be called.

    Args:
        name: such as `boosting` or `seismic`.
        version: the newest by default.
        root: folder of the registry; the one that ships by default.
        classes: of one's own, `module:Class`, that a card may name.

    Raises:
        UnknownModelError: no such name or version.
        BrokenModelError: its files are missing, altered or unreadable, or its class is another.
    """
    folder, card = _intact(name, version, root)
    if card.kind in RANKERS:
        raise UnknownModelError(f"got model {name!r}, which ranks objects; expected a forecaster")
    try:
        kind = _class_of(card, folder, classes)
        if kind is Served:
            return Served.load(folder, card.version, lambda *of: load(of[0], of[1], root, classes))
        model: Forecaster = kind.load(folder, card.version)
        model.name = card.name  # a variant has one that its class does not say
        return model
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenModelError(f"{folder}: the model cannot be read: {error}") from error


def load_ranker(
    name: str, version: str | None = None, root: Path | str | None = None
) -> RankerModel:
    """A model that makes rankers; as `load` otherwise."""
    folder, card = _intact(name, version, root)
    if card.kind not in RANKERS:
        raise UnknownModelError(f"got model {name!r}, which forecasts; expected a ranker")
    try:
        model: RankerModel = _class_of(card, folder, ()).load(folder, card.version)
        return model
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenModelError(f"{folder}: the model cannot be read: {error}") from error


def _intact(name: str, version: str | None, root: Path | str | None) -> tuple[Path, ModelCard]:
    """The folder of a version and its card, once its files are what the card says."""
    folder = _find(name, version, _root(root))
    card = _read_card(folder)
    for file, expected in card.files.items():
        if Path(file).name != file or "\0" in file:
            raise BrokenModelError(
                f"{folder / CARD}: got a file {file!r}; expected names of files in its folder"
            )
        try:
            got = digest(folder / file)
        except OSError as error:
            raise BrokenModelError(f"{folder}: {error}; install the version again") from error
        if got != expected:
            raise BrokenModelError(
                f"{folder / file}: got digest {got}; the card says {expected}; "
                "install the version again"
            )
    return folder, card


def write(
    model: Any,
    root: Path,
    *,
    description: str,
    command: str,
    data: Sequence[DataSet],
    training: dict[str, Any],
    metrics: dict[str, Any],
) -> Path:
    """Writes a model with its card to `<root>/<name>/<version>`, and returns that folder.

    Args:
        model: a forecaster with a method `save(folder)`, of a class in `KINDS` or of one's own.
        root: folder of the registry; it is made where it is missing.
        description, command, data, training, metrics: as in the card.

    Raises:
        ValueError: its class is one that nobody else can import.
    """
    kind = _kind_of(type(model))
    if isinstance(model, Served):
        shared = {key: training[key] for key in ("seed", "split") if key in training}
        for member in model.models:
            member.version = model.version
            write(
                member,
                root,
                description=f"A member of {model.name} {model.version}.",
                command=command,
                data=data,
                training=training["members"][member.name] | {"recipe": member.name} | shared,
                metrics=metrics.get("members", {}).get(member.name, {}),
            )
    folder: Path = root / model.name / model.version
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder)
    card = ModelCard(
        name=model.name,
        version=model.version,
        kind=kind,
        description=description,
        created=datetime.now(UTC).date().isoformat(),
        command=command,
        data=list(data),
        training=training,
        metrics=metrics,
        files={},
    )
    write_card(folder, card)
    return folder


def write_card(folder: Path, card: ModelCard) -> None:
    """Writes the card of the version in `folder`, with the digests of its files as they are."""
    files = {
        path.name: digest(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != CARD
    }
    content = msgspec.json.encode(msgspec.structs.replace(card, files=files))
    (folder / CARD).write_bytes(msgspec.json.format(content, indent=2) + b"\n")
    # safetensors keeps its files to the user who wrote them; workers are others.
    mode = stat.S_IMODE((folder / CARD).stat().st_mode)
    for name in files:
        (folder / name).chmod(mode)


def is_version(text: str) -> bool:
    """Whether it may be the name of a version: whole numbers joined by dots."""
    return _VERSION.fullmatch(text) is not None


def _kind_of(cls: type[Any]) -> str:
    """As cards name a class."""
    if cls.__name__ in KINDS and cls.__module__.partition(".")[0] == "models":
        return cls.__name__
    kind = f"{cls.__module__}:{cls.__qualname__}"
    if cls.__module__ == "__main__" or not _OWN.fullmatch(kind):
        raise ValueError(
            f"got a model of class {kind}; expected one at the top of a module that can be "
            "imported: a role has to find it under the name that the card gives"
        )
    return kind


def _class_of(card: ModelCard, folder: Path, classes: Collection[str]) -> Any:
    """The class that a card names, if it is one that may be imported."""
    if card.kind in KINDS:
        return getattr(importlib.import_module(KINDS[card.kind]), card.kind)
    if card.kind not in classes:
        raise BrokenModelError(
            f"{folder / CARD}: got kind {card.kind!r}, a class that does not ship; expected one of "
            f"{', '.join([*KINDS, *classes])}; if it is to run here, name it in the setting "
            "`model_classes`"
        )
    module, _, name = card.kind.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise BrokenModelError(
            f"{folder / CARD}: its class {card.kind} cannot be had: {error}; install the package "
            "that has it where the model is to run"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Forecaster) and hasattr(found, "load")):
        raise BrokenModelError(
            f"{folder / CARD}: got {card.kind}; expected a class derived from "
            "models.interface.Forecaster, with a class method load(folder, version)"
        )
    return found


def _root(root: Path | str | None) -> Path:
    return SHIPPED if root is None else Path(root)


def _versions(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    names = [path.parent.name for path in folder.glob(f"*/{CARD}")]
    return sorted((name for name in names if _VERSION.fullmatch(name)), key=_order)


def _order(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _find(name: str, version: str | None, root: Path) -> Path:
    # Looked up among those there are, so that no name or version can lead out of the folder.
    names = list_names(root)
    if name not in names:
        raise UnknownModelError(
            f"got model {name!r}; {root} holds {', '.join(names) or 'none'}; "
            "choose one of these, or another registry"
        )
    versions = list_versions(name, root)
    if version is None:
        version = versions[-1]
    if version not in versions:
        raise UnknownModelError(
            f"got version {version!r} of {name}; {root} holds {', '.join(versions)}"
        )
    return root / name / version


def _read_card(folder: Path) -> ModelCard:
    try:
        card = msgspec.json.decode((folder / CARD).read_bytes(), type=ModelCard)
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenModelError(f"{folder / CARD}: not a model card: {error}") from error
    if (card.name, card.version) != (folder.parent.name, folder.name):
        raise BrokenModelError(
            f"{folder / CARD}: the card is that of {card.name} {card.version}; "
            "a version lies in <registry>/<name>/<version>"
        )
    if card.kind not in KINDS and not _OWN.fullmatch(card.kind):
        raise BrokenModelError(
            f"{folder / CARD}: got kind {card.kind!r}; expected one of {', '.join(KINDS)}"
        )
    return card
