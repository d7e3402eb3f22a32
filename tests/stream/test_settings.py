"""Settings: where they come from, what is refused, and that every one says what it is for."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream.cli import app
from stream.commands import settings as command
from stream.settings import Duration, Settings, SettingsError, load, load_with_origins

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


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


def test_the_environment_of_settings_gives_the_same_settings() -> None:
    settings = load(environment={}, kafka="a:1,b:2", window="90s", horizons="1h,24h,48h")
    assert load(environment=settings.environment()) == settings


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"TIDECAST_ALLOWED_LATENES": "1"}, "did you mean allowed_lateness"),
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


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), (90, 90), ("90s", 90), ("1.5m", 90), ("1h", 3600), ("7d", 604800)],
)
def test_durations_may_carry_a_unit(text: str | float, seconds: float) -> None:
    assert Duration.parse(text) == seconds


@pytest.mark.parametrize("text", ["0s", "0.02s", "90s", "5m", "1h", "7d", "1296001s"])
def test_a_duration_is_written_as_it_may_be_read(text: str) -> None:
    assert str(Duration.parse(text)) == text


def test_every_setting_has_its_reason() -> None:
    assert all(entry.metadata["reason"] for entry in dataclasses.fields(Settings))


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


def test_the_command_tells_values_and_origins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDECAST_WINDOW", "90s")
    done = CliRunner().invoke(app, ["settings", "--json", "--kafka", "a:1"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["window"] == {"value": "90s", "origin": "environment TIDECAST_WINDOW"}
    assert told["kafka"] == {"value": "a:1", "origin": "flag --kafka"}
    assert told.keys() == {entry.name for entry in dataclasses.fields(Settings)}


def test_a_secret_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDECAST_KAFKA_PASSWORD", "hunter2")
    for form in ([], ["--json"], ["--markdown"]):
        done = CliRunner().invoke(app, ["settings", *form], env={"COLUMNS": "300"})
        assert done.exit_code == 0, done.output
        assert "hunter2" not in done.output
        assert ("***" in done.output) == (form != ["--markdown"])


def test_the_page_is_what_the_settings_say() -> None:
    page = command.page()
    assert PAGE.read_text() == page, "run: tidecast settings --markdown > docs/settings.md"
    listed = [name for _, names in command.groups() for name in names]
    assert listed == [entry.name for entry in dataclasses.fields(Settings)]
