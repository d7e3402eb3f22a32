"""`tidecast settings`, and the page that it writes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream.cli import app
from stream.commands import settings as command
from stream.settings import Settings

PAGE = Path(__file__).resolve().parents[3] / "docs" / "settings.md"


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
