"""What the folder of a model's version has in common with every other: its card, and digests."""

from __future__ import annotations

import hashlib
from pathlib import Path

CARD = "card.json"


def digest(path: Path) -> str:
    """`sha256:` and the hexadecimal digest of a file.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
