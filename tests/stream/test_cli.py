"""Every command explains itself, and the documentation names only commands that there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from stream.cli import app

ROOT = Path(__file__).resolve().parents[2]


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group by its path."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_works_and_says_what_the_command_does(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    assert "Usage:" in result.output
    said = (COMMANDS[path].help or "").strip()
    assert len(said.split()) >= 3
    assert said.splitlines()[0].endswith((".", ":"))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_says_what_it_is_for(path: tuple[str, ...]) -> None:
    for parameter in COMMANDS[path].params:
        if "--help" not in parameter.opts:
            assert parameter.help and len(parameter.help.split()) >= 3, parameter.name


def test_a_command_that_is_not_there_is_refused() -> None:
    assert CliRunner().invoke(app, ["forecast"]).exit_code == 2


def test_the_documentation_names_only_commands_that_there_are() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "Makefile"]
    for page in pages:
        for words in named_commands(page.read_text()):
            path: tuple[str, ...] = ()
            for word in words.split():
                if not hasattr(COMMANDS[path], "commands"):
                    break
                path = (*path, word)
                assert path in COMMANDS, f"{page}: tidecast {' '.join(path)}"


def named_commands(text: str) -> Iterator[str]:
    """What follows `tidecast` in inline code, in blocks of code and in recipes of make."""
    yield from re.findall(r"(?:`|\$\(BIN\)/)tidecast ([a-z][a-z -]*)", text)
    for block in re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from re.findall(r"^(?:\$ )?(?:\S*/)?tidecast ([a-z][a-z -]*)", block, re.MULTILINE)
