"""What a process that starts is at, for whoever waits for it: its latest word, in a file.

    role ── tell ──► status_dir/ROLE ──► told ──► the terminal of `tidecast up`, the live page

A file, for it is there before the process can answer anybody, and it stays when the process hangs
or dies: whoever reads it sees since when nothing else has been said. Of a process that is at work
there are metrics; here it says `ready` and no more. Without `status_dir` nothing is written.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from stream.settings import Settings, SettingsError


class Told(msgspec.Struct, frozen=True):
    """The latest word of a process.

    Attributes:
        name: of the process.
        words: what it is at.
        ready: it is at work; nothing more is said.
        since: when it said so, unix seconds.
    """

    name: str
    words: str
    ready: bool
    since: float


_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(Told).decode


class Teller:
    """Keeps the latest word of one process.

    Args:
        folder: where, made if missing; None writes nothing.
        name: of the process, and of its file.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, folder: Path | None, name: str) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = name
        self._latest = Told(name, "", False, 0.0)

    @property
    def words(self) -> str:
        """What was told last."""
        return self._latest.words

    def tell(self, words: str, ready: bool = False) -> None:
        """Says what the process is at now; nothing once it was ready, or where it said so already.

        Raises:
            OSError: the folder cannot be written to.
        """
        if self._folder is None or self._latest.ready or (words == self.words and not ready):
            return
        self._latest = Told(self._name, words, ready, time.time())
        # Whole or not at all: who reads it may come at any time.
        fresh = self._folder / f".{self._name}.{os.getpid()}"
        fresh.write_bytes(_ENCODE(self._latest))
        fresh.replace(self._folder / self._name)


_mine = Teller(None, "")


def begin(settings: Settings, name: str) -> None:
    """Has `tell` speak for this process from now on.

    Raises:
        SettingsError: `status_dir` cannot be written to.
    """
    global _mine
    folder = Path(settings.status_dir) if settings.status_dir else None
    try:
        teller = Teller(folder, name)
        teller.tell("importing")
    except OSError as error:
        raise SettingsError(
            f"status_dir: {folder} cannot be written to ({error.strerror}); name a folder that "
            "can be, or none"
        ) from error
    _mine = teller


def tell(words: str) -> None:
    """Says what this process is at."""
    _mine.tell(words)


def ready(words: str) -> None:
    """Says that this process is at work."""
    _mine.tell(words, ready=True)


def tell_of_kernels() -> None:
    """Says from now on which kernel is being compiled, where this process has numba."""
    if "numba" not in sys.modules:
        return
    from models.kernels import compiling

    before: list[str] = []  # the words that each compilation interrupts

    def began(number: int, kernel: str) -> None:
        before.append(_mine.words)
        tell(f"compiling kernel {number}, {kernel}")

    def ended() -> None:
        tell(before.pop())

    compiling.follow(began, ended)


def told(folder: Path | str) -> Mapping[str, Told]:
    """The latest word of each process that has said something there, by name."""
    found = {}
    for file in sorted(Path(folder).glob("[!.]*")) if folder else ():
        word = _DECODE(file.read_bytes())
        found[word.name] = word
    return found
