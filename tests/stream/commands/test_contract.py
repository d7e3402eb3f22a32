from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from stream.commands.contract import contract

app = typer.Typer()
app.command()(contract)


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the documents that the code states."""
    assert run("--output", tmp_path)[0] == 0
    return tmp_path


def promise_more(folder: Path) -> None:
    """Makes the documents promise a field that the code does not have."""
    file = folder / "schemas" / "CascadeOutcome.json"
    schema = json.loads(file.read_text())
    schema["properties"]["mood"] = {"type": "string"}
    file.write_text(json.dumps(schema))


def test_documents_that_are_written_pass_the_check(folder: Path) -> None:
    status, said = run("--output", folder, "--check")
    assert status == 0
    assert "all as the code says" in said


def test_the_check_names_what_is_out_of_date_and_writes_nothing(folder: Path) -> None:
    (folder / "schemas" / "EdgeRequest.json").unlink()
    status, said = run("--output", folder, "--check")
    assert status == 1
    assert "out of date: schemas/EdgeRequest.json; write them with `tidecast contract`" in said
    assert not (folder / "schemas" / "EdgeRequest.json").exists()


@pytest.mark.parametrize("flags", [(), ("--check",)])
def test_documents_are_not_written_over_a_promise(folder: Path, flags: tuple[str, ...]) -> None:
    promise_more(folder)
    status, said = run("--output", folder, *flags)
    assert status == 1
    assert "cascade.outcomes, CascadeOutcome.mood: the field is gone" in said
    assert "mood" in (folder / "schemas" / "CascadeOutcome.json").read_text()


def test_a_promise_is_taken_back_on_purpose(folder: Path) -> None:
    promise_more(folder)
    assert run("--output", folder, "--allow-breaking")[0] == 0
    assert run("--output", folder, "--check")[0] == 0
