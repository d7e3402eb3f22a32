"""A model that somebody has altered is refused wherever one is loaded: served, shadow, ranker."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from models import registry
from models.registry import BrokenModelError
from stream.serving import loading
from stream.serving import rankers as ranking_model
from stream.serving.loading import LoadingError
from stream.settings import Settings
from tests.altered import alter

SHIPPED = sorted(
    (name, path.name)
    for name in registry.list_names(registry.SHIPPED)
    for path in (registry.SHIPPED / name / "1").iterdir()
    if path.name != registry.CARD
)


def copied(root: Path, name: str) -> Settings:
    """The settings of a registry that holds the version that ships."""
    shutil.copytree(registry.SHIPPED / name / "1", root / name / "1")
    return Settings(registry=str(root), ranker=name, forecaster=name)


def load(settings: Settings, name: str, by: str) -> object:
    """The version, as a worker of the kind loads it when it starts, or when it is published."""
    root = Path(settings.registry)
    ranks = registry.read_card(name, "1", root).kind in registry.RANKERS
    update = loading.describe(name, "1", root)
    if ranks:
        return (
            ranking_model.load_update(settings, update)
            if by == "update"
            else ranking_model.load(settings, name)
        )
    if by == "update":
        return loading.load_update(settings, update)
    return (loading.load_known if by == "shadow" else loading.load)(settings, name, "1")


@pytest.mark.parametrize(("name", "file"), SHIPPED)
@pytest.mark.parametrize("by", ["start", "update", "shadow"])
def test_one_altered_bit_is_enough(name: str, file: str, by: str, tmp_path: Path) -> None:
    settings = copied(tmp_path, name)
    alter(tmp_path / name / "1" / file)
    with pytest.raises(BrokenModelError, match="got digest sha256:"):
        load(settings, name, by)


@pytest.mark.parametrize("name", ["seismic", "cachemamba"])
def test_a_card_that_was_written_anew_is_not_the_one_that_was_published(
    name: str, tmp_path: Path
) -> None:
    settings = copied(tmp_path, name)
    published = loading.describe(name, "1", tmp_path)
    folder = tmp_path / name / "1"
    card = registry.read_card(name, "1", tmp_path)
    registry.write_card(folder, msgspec.structs.replace(card, created="2001-01-01"))
    of = ranking_model if name == "cachemamba" else loading
    with pytest.raises(LoadingError, match="the update says sha256:"):
        of.load_update(settings, published)  # type: ignore[attr-defined]


def test_a_file_that_the_card_does_not_name_is_not_read(tmp_path: Path) -> None:
    settings = copied(tmp_path, "seismic")
    (tmp_path / "seismic" / "1" / "model.pkl").write_bytes(b"cos\nsystem\n(S'exit'\ntR.")
    assert str(load(settings, "seismic", "start")) == "seismic 1"
