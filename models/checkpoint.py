"""Trainings that were interrupted go on where they were: a file after every epoch.

    with checkpoints(folder):
        train(...)          # saves as it goes, and deletes its files when the whole is done

A file is named by all that makes the training what it is (data, seed, configuration), so another
training never takes it up. It is safetensors; what are not tensors stand in its metadata.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

_FOLDER: ContextVar[Path | None] = ContextVar("folder", default=None)


@contextmanager
def checkpoints(folder: Path, resume: bool = True) -> Iterator[None]:
    """Trainings inside save to `folder`; they begin anew where `resume` is false."""
    if not resume:
        _clear(folder)
    folder.mkdir(parents=True, exist_ok=True)
    token = _FOLDER.set(folder)
    try:
        yield
        _clear(folder)
    finally:
        _FOLDER.reset(token)


def _clear(folder: Path) -> None:
    for path in folder.glob("*.safetensors"):
        path.unlink()
    if folder.is_dir():
        folder.rmdir()


class Checkpoint:
    """The file of one training; it saves nothing outside of `checkpoints`.

    Args:
        identity: all that makes the training what it is, as JSON can say it.
    """

    def __init__(self, identity: Any) -> None:
        folder = _FOLDER.get()
        name = hashlib.sha256(msgspec.json.encode(identity)).hexdigest()[:24]
        self._path = None if folder is None else folder / f"{name}.safetensors"

    def save(self, tensors: Mapping[str, Tensor], state: Any) -> None:
        """Replaces what was saved."""
        if self._path is None:
            return
        fresh = self._path.with_suffix(".new")
        contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, fresh, {"state": msgspec.json.encode(state).decode()})
        fresh.replace(self._path)

    def load(self) -> tuple[dict[str, Tensor], Any] | None:
        """What was saved; None where nothing was, or where it cannot be read."""
        if self._path is None or not self._path.is_file():
            return None
        try:
            with safe_open(self._path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                return tensors, msgspec.json.decode(file.metadata()["state"])
        except (SafetensorError, KeyError, msgspec.DecodeError):
            return None
