"""What an attacker, or a bad disk, does to a file."""

from __future__ import annotations

from pathlib import Path


def alter(path: Path) -> None:
    """Turns over one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
