"""What the folder of a model's version has in common with every other: card, digests, data sets."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

CARD = "card.json"


class DataSet(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file that a model was trained on: of cascades with their events, or of requests."""

    file: str
    digest: str
    cascades: int = 0
    events: int = 0
    requests: int = 0


def digest(path: Path) -> str:
    """`sha256:` and the hexadecimal digest of a file.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
