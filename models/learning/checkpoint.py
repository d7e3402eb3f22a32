"""Trainings that were interrupted go on where they were: a file after every epoch.

    with checkpoints(folder):
        train(...)          # saves as it goes, and deletes its files when the whole is done

A file is named by all that makes the training what it is (data, seed, configuration), so another
training never takes it up, and those that share the folder leave each other's files alone. It is
safetensors; what are not tensors stand in its metadata.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


@dataclass
class _Unfinished:
    """Where trainings save, and the files of those that did."""

    folder: Path
    resume: bool
    files: set[Path] = field(default_factory=set)

    def file(self, name: str) -> Path:
        path = self.folder / name
        if not self.resume and path not in self.files:
            path.unlink(missing_ok=True)
        self.files.add(path)
        return path

    def clear(self) -> None:
        for path in self.files:
            path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()


_UNFINISHED: ContextVar[_Unfinished | None] = ContextVar("unfinished", default=None)


@contextmanager
def checkpoints(folder: Path, resume: bool = True) -> Iterator[None]:
    """Trainings inside save to `folder`; they begin anew where `resume` is false."""
    unfinished = _Unfinished(folder, resume)
    token = _UNFINISHED.set(unfinished)
    try:
        yield
        unfinished.clear()
    finally:
        _UNFINISHED.reset(token)


class Checkpoint:
    """The file of one training; it saves nothing outside of `checkpoints`.

    Args:
        identity: all that makes the training what it is, as JSON can say it.
    """

    def __init__(self, identity: Any) -> None:
        unfinished = _UNFINISHED.get()
        name = hashlib.sha256(msgspec.json.encode(identity)).hexdigest()[:24]
        self._path = None if unfinished is None else unfinished.file(f"{name}.safetensors")

    def save(self, tensors: Mapping[str, Tensor], state: Any) -> None:
        """Replaces what was saved."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)  # another training may have been last
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
