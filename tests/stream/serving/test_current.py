"""Versions: where an update leads, which one is served, and what does not load replaces nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from models.registry import BrokenModelError, UnknownModelError
from stream.serving.cost import CallCost
from stream.serving.current import of_forecaster
from stream.serving.loading import LoadingError, describe, folder_of, load, load_update
from stream.settings import Settings
from topics.records import ModelUpdate

Copy = Callable[[Path, str, str], Path]
NO_DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def settings(tmp_path: Path, copy_version: Copy) -> Settings:
    """A registry with the versions 1, 2 and 10 of SEISMIC, and a broken 11."""
    for version in ("1", "2", "10", "11"):
        folder = copy_version(tmp_path / "registry", "seismic", version)
    (folder / "constants.json").write_text("{}")
    return Settings(registry=str(tmp_path / "registry"), forecaster="seismic")


@pytest.fixture
def sound(settings: Settings) -> Settings:
    """The same, without the broken version."""
    for path in Path(settings.registry, "seismic", "11").iterdir():
        path.unlink()
    return settings


def update(settings: Settings, version: str) -> ModelUpdate:
    return describe("seismic", version, Path(settings.registry))


class Metrics(CollectorRegistry):
    def value(self, name: str, /, **labels: str) -> float | None:
        return self.get_sample_value(f"tidecast_forecaster_{name}", labels)


def test_a_version_is_loaded_warm_and_with_its_costs(sound: Settings) -> None:
    loaded = load(sound, "seismic")
    assert str(loaded) == "seismic 10"
    assert loaded.digest == update(sound, "10").digest
    assert not np.array_equal(loaded.cost.costs, CallCost().costs), "its calls were timed"
    assert str(load(sound, "seismic", "2")) == "seismic 2"
    with pytest.raises(UnknownModelError):
        load(sound, "seismic", "3")


def test_an_update_leads_to_its_version_by_path_or_uri(settings: Settings) -> None:
    by_uri = update(settings, "2")
    assert by_uri.uri.startswith("file:///")
    by_path = msgspec.structs.replace(by_uri, uri=f"{settings.registry}/seismic/2/")
    for each in (by_uri, by_path):
        assert str(load_update(settings, each)) == "seismic 2"
    spaced = ModelUpdate("m", "1", "file:///a%20b/m/1", NO_DIGEST)
    assert folder_of(spaced) == Path("/a b/m/1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uri": "s3://bucket/seismic/2"}, "expected a path or file://"),
        ({"uri": "file://elsewhere/seismic/2"}, "expected a path or file://"),
        ({"uri": "/models/seismic/3"}, r"expected a folder \.\.\./seismic/2"),
        ({"uri": "/nowhere/seismic/2"}, "every worker has to see this folder"),
        ({"digest": NO_DIGEST}, "publish the change under another version"),
    ],
)
def test_an_update_that_leads_astray_says_where(
    settings: Settings, change: dict[str, str], message: str
) -> None:
    with pytest.raises(LoadingError, match=message):
        load_update(settings, msgspec.structs.replace(update(settings, "2"), **change))


def test_altered_files_are_found_out(settings: Settings) -> None:
    with pytest.raises(BrokenModelError, match="digest"):
        load_update(settings, update(settings, "11"))


def test_it_starts_with_the_latest_update_that_loads(settings: Settings) -> None:
    updates = [update(settings, version) for version in ("1", "2", "11")]
    metrics = Metrics()
    serving = of_forecaster(settings, updates, metrics)
    assert str(serving.current()) == "seismic 2"
    assert metrics.value("failed_swaps_total") == 1
    assert metrics.value("swaps_total") == 0


def test_without_updates_it_starts_with_the_newest_of_the_registry(sound: Settings) -> None:
    assert str(of_forecaster(sound, [], Metrics()).current()) == "seismic 10"


def test_of_the_registry_it_starts_with_the_newest_that_loads(settings: Settings) -> None:
    metrics = Metrics()
    serving = of_forecaster(settings, [update(settings, "11")], metrics)
    assert str(serving.current()) == "seismic 10"
    assert metrics.value("failed_swaps_total") == 2  # by the update, and by the registry


def test_without_anything_that_loads_it_does_not_start(settings: Settings) -> None:
    for constants in Path(settings.registry, "seismic").glob("*/constants.json"):
        constants.write_text("{}")
    with pytest.raises(BrokenModelError, match="got digest"):
        of_forecaster(settings, [], Metrics())
    with pytest.raises(UnknownModelError):
        of_forecaster(settings.having(forecaster="nobody"), [], Metrics())


def test_an_update_replaces_the_version_and_a_broken_one_does_not(sound: Settings) -> None:
    metrics = Metrics()
    serving = of_forecaster(sound, [update(sound, "1")], metrics)
    serving.take(update(sound, "2"))
    assert str(serving.current()) == "seismic 2"
    assert metrics.value("model_info", name="seismic", version="2") == 1
    assert metrics.value("model_info", name="seismic", version="1") is None
    assert metrics.value("swaps_total") == 1

    served = serving.current()
    altered = Path(sound.registry, "seismic", "10", "constants.json")
    altered.write_text("{}")
    serving.take(update(sound, "10"))
    assert serving.current() is served
    assert metrics.value("failed_swaps_total") == 1
    # Back to an earlier one is an update like any other.
    serving.take(update(sound, "1"))
    assert str(serving.current()) == "seismic 1"
    assert metrics.value("swaps_total") == 2


def test_what_names_another_model_or_the_served_version_changes_nothing(sound: Settings) -> None:
    metrics = Metrics()
    serving = of_forecaster(sound, [update(sound, "2")], metrics)
    served = serving.current()
    serving.take(ModelUpdate("boosting", "1", "/nowhere/boosting/1", NO_DIGEST))
    serving.take(update(sound, "2"))
    assert serving.current() is served
    assert metrics.value("swaps_total") == metrics.value("failed_swaps_total") == 0
    # The version that is served cannot become another model.
    serving.take(msgspec.structs.replace(update(sound, "2"), digest=NO_DIGEST))
    assert serving.current() is served
    assert metrics.value("failed_swaps_total") == 1


def test_threads_are_those_of_the_settings() -> None:
    """In a process of its own, for they are a matter of the whole process."""
    program = """
import sys, threading
from models.kernels import threads
from stream.serving.loading import load
from stream.settings import Settings
load(Settings(model_threads=3), "seismic")
assert "torch" not in sys.modules
import torch
load(Settings(model_threads=3), "seismic")
def told():
    print(torch.get_num_threads(), threads.count())
thread = threading.Thread(target=told)
thread.start(); thread.join()
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "3 3\n"


def test_a_warm_up_asks_for_what_snapshots_may_be(sound: Settings) -> None:
    """Its invented cascade is one that the decoder would let through."""
    from stream.serving.loading import _invented
    from topics import consistency

    invented = _invented(64, 1800.0)
    assert consistency.of_snapshot(invented) is None
    assert (np.diff(invented.delays()) >= 0).all()
    assert invented.parents().tolist() == [-1] + [0] * 63
    assert invented.depths().tolist() == [0] + [1] * 63
