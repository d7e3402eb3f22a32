"""Versions of the forecaster's model that somebody publishes in a drill: good, slow and broken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec

from models import registry
from tests.altered import alter

NAME = "boosting"
GOOD, SLOW, BROKEN = "1", "2", "3"
_STEPS = 100  # of the sampler of the slow one, for 10


def write_good(root: Path) -> None:
    """Writes the version that is served: the highest that a registry has, where no update says."""
    shutil.copytree(registry.SHIPPED / NAME / "1", root / NAME / GOOD)


def write_slow(root: Path) -> None:
    """Writes a version that is CasFT, with a sampler ten times as patient."""
    folder = root / NAME / SLOW
    if folder.exists():
        return
    shutil.copytree(registry.SHIPPED / "casft" / "1", folder)
    config = json.loads((folder / "config.json").read_text())
    config["network"]["steps"] = _STEPS
    (folder / "config.json").write_text(json.dumps(config))
    card = registry.read_card("casft", "1")
    registry.write_card(folder, msgspec.structs.replace(card, name=NAME, version=SLOW))


def write_broken(root: Path) -> None:
    """Writes the good version under another number, one bit of it altered since."""
    folder = root / NAME / BROKEN
    shutil.copytree(root / NAME / GOOD, folder)
    card = registry.read_card(NAME, GOOD, root)
    registry.write_card(folder, msgspec.structs.replace(card, version=BROKEN))
    alter(folder / "trees.safetensors")
