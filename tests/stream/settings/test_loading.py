"""Settings: where they come from, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from stream.settings import Settings, SettingsError, load, load_with_origins


def test_environment_goes_over_file_over_default(tmp_path: Path) -> None:
    file = tmp_path / "tidecast.toml"
    file.write_text('allowed_lateness = "2m"\npartitions = 8\nhorizons = ["1h", "24h"]\n')
    environment = {
        "TIDECAST_CONFIG": str(file),
        "TIDECAST_PARTITIONS": "16",
        "TIDECAST_SNAPSHOT_AGES": "5m,1h",
        "UNRELATED": "x",
    }
    settings = load(environment=environment)
    assert settings.allowed_lateness == 120
    assert settings.partitions == 16
    assert settings.snapshot_ages == (300, 3600)
    assert settings.horizons == (3600, 86400)
    assert settings.growth_first == Settings().growth_first
    assert load(environment=environment, partitions=2).partitions == 2


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"TIDECAST_ALLOWED_LATENES": "1"}, "did you mean allowed_lateness"),
        ({"TIDECAST_HEADING": "Kafka"}, "unknown setting 'heading'"),
        ({"TIDECAST_PARTITIONS": "many"}, "partitions: invalid literal"),
        ({"TIDECAST_PARTITIONS": "0"}, "partitions: got 0; expected more than 0"),
        ({"TIDECAST_WINDOW": "5 parsecs"}, "window: got '5 parsecs'; expected seconds"),
        ({"TIDECAST_WINDOW": "-5"}, "window: got '-5'"),
        ({"TIDECAST_GROWTH_FACTOR": "1"}, "growth_factor: got 1.0; expected more than 1"),
        ({"TIDECAST_CACHE_SHARE": "1.5"}, "cache_share"),
        ({"TIDECAST_HORIZONS": "24h,1h"}, "horizons: .* ascending"),
        ({"TIDECAST_HORIZONS": "7s"}, r"horizons: got \[7.0\] seconds; expected some of 1, 2"),
        ({"TIDECAST_FORECAST_DEADLINE": "0"}, "forecast_deadline: got 0s; expected more than 0"),
        ({"TIDECAST_SHADOWS": "boosting:newest"}, "shadows: got 'boosting:newest'; expected a"),
        ({"TIDECAST_MODEL_CLASSES": "steady"}, "model_classes: got .steady.; expected a module"),
        ({"TIDECAST_SNAPSHOT_AGES": "48h"}, "snapshot_ages: .* below the last horizon"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(environment: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(environment=environment)


def test_a_list_may_be_empty_or_of_texts() -> None:
    assert load(environment={"TIDECAST_SHADOWS": ""}).shadows == ()
    shadows = load(environment={"TIDECAST_SHADOWS": "seismic,boosting:1.2"}).shadows
    assert shadows == ("seismic", "boosting:1.2")
    with pytest.raises(SettingsError, match="horizons"):
        load(environment={"TIDECAST_HORIZONS": ""})


def test_a_file_that_is_not_as_it_should_be_is_named(tmp_path: Path) -> None:
    file = tmp_path / "odd.toml"
    file.write_text("windw = 3\n")
    with pytest.raises(
        SettingsError, match=r"odd\.toml: unknown setting 'windw'; did you mean window"
    ):
        load(file, environment={})
    file.write_text("window = \n")
    with pytest.raises(SettingsError, match=r"odd\.toml"):
        load(file, environment={})
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.toml", environment={})


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbfpartitions = 8\n", b"partitions = 8\r\n", b"\n\npartitions = 8"]
)
def test_a_file_may_be_written_as_editors_write_them(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "tidecast.toml"
    file.write_bytes(content)
    assert load(environment={"TIDECAST_CONFIG": str(file)}).partitions == 8


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "tidecast.toml"
    file.write_bytes("partitions = 8\n".encode(encoding))
    with pytest.raises(SettingsError, match=r"tidecast\.toml: "):
        load(environment={"TIDECAST_CONFIG": str(file)})


def test_each_value_says_where_it_came_from(tmp_path: Path) -> None:
    file = tmp_path / "tidecast.toml"
    file.write_text("partitions = 8\nreplication = 3\n")
    environment = {"TIDECAST_CONFIG": str(file), "TIDECAST_PARTITIONS": "16", "TIDECAST_EDGE": "a"}
    settings, origins = load_with_origins(environment=environment, edge="fra-3", kafka=None)
    assert (settings.partitions, settings.replication, settings.edge) == (16, 3, "fra-3")
    assert origins["partitions"] == "environment TIDECAST_PARTITIONS"
    assert origins["replication"] == f"file {file}"
    assert origins["edge"] == "flag --edge"
    assert origins["kafka"] == "default"
    assert origins.keys() == {entry.name for entry in dataclasses.fields(Settings)}
