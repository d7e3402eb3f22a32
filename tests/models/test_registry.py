"""Versions of models: found, verified, loaded, or refused with the reason."""

import shutil
from pathlib import Path

import msgspec
import pytest

from models import registry
from models.forecasters.seismic import Constants, Seismic
from models.registry import BrokenModelError, ModelCard, UnknownModelError


def put(root: Path, version: str, name: str = "seismic", kind: str = "Seismic") -> Path:
    folder = root / name / version
    folder.mkdir(parents=True)
    Seismic(Constants(plateau=100.0 * int(version.split(".")[0])), version).save(folder)
    registry.write_card(
        folder,
        ModelCard(name, version, kind, "a test", "2026-01-01", "none", [], {}, {}, {}),
    )
    return folder


def test_the_models_that_ship_load() -> None:
    assert {"boosting", "seismic"} <= set(registry.list_names())
    for name in registry.list_forecasters():
        for version in registry.list_versions(name):
            model = registry.load(name, version)
            assert (model.name, model.version) == (name, version)


def test_a_ranker_is_no_forecaster_and_the_other_way_round() -> None:
    assert "cachemamba" in registry.list_names()
    assert "cachemamba" not in registry.list_forecasters()
    assert registry.load_ranker("cachemamba").name == "cachemamba"
    with pytest.raises(UnknownModelError, match="expected a forecaster"):
        registry.load("cachemamba")
    with pytest.raises(UnknownModelError, match="expected a ranker"):
        registry.load_ranker("seismic")


def test_the_models_that_ship_are_small() -> None:
    assert sum(path.stat().st_size for path in registry.SHIPPED.rglob("*")) < 5_000_000


def test_the_newest_version_is_by_number_not_by_letter(tmp_path: Path) -> None:
    for version in ("2", "10", "9.1"):
        put(tmp_path, version)
    (tmp_path / "seismic" / "draft").mkdir()
    assert registry.list_versions("seismic", tmp_path) == ["2", "9.1", "10"]
    assert registry.load("seismic", root=tmp_path).version == "10"
    older = registry.load("seismic", "2", tmp_path)
    assert isinstance(older, Seismic)
    assert older.constants.plateau == 200


def test_an_empty_registry_lists_nothing(tmp_path: Path) -> None:
    assert registry.list_names(tmp_path / "none") == []
    assert registry.list_versions("seismic", tmp_path) == []


@pytest.mark.parametrize("name", ["nosuch", "", "..", "../seismic", "/"])
def test_an_unknown_name_is_refused_with_those_there_are(tmp_path: Path, name: str) -> None:
    put(tmp_path / "inner", "1")
    put(tmp_path, "1")
    with pytest.raises(UnknownModelError, match="holds seismic"):
        registry.load(name, root=tmp_path / "inner")


@pytest.mark.parametrize("version", ["2", "", "../1", "latest"])
def test_an_unknown_version_is_refused_with_those_there_are(tmp_path: Path, version: str) -> None:
    put(tmp_path, "1")
    with pytest.raises(UnknownModelError, match="holds 1"):
        registry.load("seismic", version, tmp_path)


def test_an_altered_file_is_refused(tmp_path: Path) -> None:
    folder = put(tmp_path, "1")
    with (folder / "constants.json").open("ab") as file:
        file.write(b" ")
    with pytest.raises(BrokenModelError, match=r"constants\.json: got digest sha256:"):
        registry.load("seismic", root=tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    (put(tmp_path, "1") / "constants.json").unlink()
    with pytest.raises(BrokenModelError, match="install the version again"):
        registry.load("seismic", root=tmp_path)


def test_a_file_that_is_not_the_models_is_refused(tmp_path: Path) -> None:
    folder = put(tmp_path, "1")
    (folder / "constants.json").write_text('{"plateau": "long"}')
    registry.write_card(folder, registry.read_card("seismic", root=tmp_path))
    with pytest.raises(BrokenModelError, match="cannot be read"):
        registry.load("seismic", root=tmp_path)


def test_a_card_that_is_none_is_refused(tmp_path: Path) -> None:
    (put(tmp_path, "1") / "card.json").write_text("{")
    with pytest.raises(BrokenModelError, match="not a model card"):
        registry.load("seismic", root=tmp_path)


def test_a_card_of_another_model_is_refused(tmp_path: Path) -> None:
    shutil.copytree(put(tmp_path, "1"), tmp_path / "seismic" / "2")
    with pytest.raises(BrokenModelError, match="the card is that of seismic 1"):
        registry.load("seismic", root=tmp_path)


def test_a_kind_that_is_not_known_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "1", kind="os.system")
    with pytest.raises(BrokenModelError, match="expected one of Boosting, CacheMamba"):
        registry.load("seismic", root=tmp_path)


def own_kind(root: Path, kind: str) -> Path:
    """A version whose card names another class than those that ship."""
    folder = put(root, "1")
    card = registry.read_card("seismic", root=root)
    registry.write_card(folder, msgspec.structs.replace(card, kind=kind))
    return folder


def test_a_class_that_does_not_ship_is_imported_only_where_it_is_named(tmp_path: Path) -> None:
    kind = "models.forecasters.seismic:Seismic"
    own_kind(tmp_path, kind)
    for classes in ((), ("models.forecasters.seismic:Other",)):
        with pytest.raises(BrokenModelError, match=r"got kind .*, a class that does not ship"):
            registry.load("seismic", root=tmp_path, classes=classes)
    assert registry.load("seismic", root=tmp_path, classes=(kind,)).name == "seismic"
    assert registry.list_forecasters(tmp_path) == ["seismic"]  # what it is can be told all the same


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("nowhere.at_all:Model", "cannot be had: No module named 'nowhere'"),
        ("models.registry:Model", "cannot be had: module 'models.registry' has no attribute"),
        ("models.registry:ModelCard", "expected a class derived from models.interface.Forecaster"),
    ],
)
def test_a_class_that_is_no_forecaster_is_refused(tmp_path: Path, kind: str, told: str) -> None:
    own_kind(tmp_path, kind)
    with pytest.raises(BrokenModelError, match=told):
        registry.load("seismic", root=tmp_path, classes=(kind,))


def test_a_class_that_nobody_else_can_import_is_not_written(tmp_path: Path) -> None:
    class Local(Seismic):
        """Of this function alone."""

    with pytest.raises(ValueError, match="expected one at the top of a module"):
        registry.write(
            Local(Constants()), tmp_path,
            description="", command="", data=[], training={}, metrics={},
        )  # fmt: skip


def test_features_of_another_program_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "boosting" / "1"
    shutil.copytree(registry.SHIPPED / "boosting" / registry.list_versions("boosting")[-1], folder)
    config = msgspec.json.decode((folder / "config.json").read_bytes())
    config["features"][0] = "log_luck"
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
    card = registry.read_card("boosting")
    registry.write_card(folder, msgspec.structs.replace(card, version="1"))
    with pytest.raises(BrokenModelError, match="trained on other features"):
        registry.load("boosting", root=tmp_path)
