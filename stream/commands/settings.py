"""`tidecast settings`: every setting in force, where its value came from, and what it is for.

tidecast settings                 what is in force here
tidecast settings --json          the same for a program
tidecast settings --markdown      the defaults, as docs/settings.md has them
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from stream.commands.traffic import KafkaOption
from stream.secret import Secret
from stream.settings import Duration, Settings, domains, load_with_origins, spell

_PAGE = """\
# Settings

Written by `tidecast settings --markdown`. Each can be given in the environment
(`TIDECAST_ALLOWED_LATENESS=1m`) or in a TOML file named by `TIDECAST_CONFIG`; the environment goes
over the file, and an option such as `--kafka` over both. Lists are comma-separated in the
environment. Durations are seconds or carry a unit: `30s`, `5m`, `1h`, `7d`. An unknown setting is
refused, with the names that come close. `tidecast settings` prints those in force and where each
came from; the value of a secret is never printed.
"""


def settings(
    kafka: KafkaOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object, for a program.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The page of defaults, docs/settings.md.")
    ] = False,
) -> None:
    """Prints every setting in force, where it came from, and what it is for.

    A value comes from the default, from the TOML file named by `TIDECAST_CONFIG`, from the
    environment or from an option, each going over those before it. Secrets are not printed.
    """
    if as_json and markdown:
        raise typer.BadParameter("--json and --markdown are two forms of the same; give one")
    if markdown:
        typer.echo(page(), nl=False)
        return
    in_force, origins = load_with_origins(kafka=kafka)
    if as_json:
        rows = {
            name: {"value": spell(getattr(in_force, name)), "origin": origin}
            for name, origin in origins.items()
        }
        typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
    else:
        Console().print(table(in_force, origins))


def table(of: Settings, origins: Mapping[str, str]) -> Table:
    """The settings for a person; what is not the default stands out."""
    found = Table(box=None, header_style="bold")
    for column in ("setting", "value", "from", "what for"):
        found.add_column(column, overflow="fold")
    for entry in dataclasses.fields(Settings):
        origin = origins[entry.name]
        found.add_row(
            entry.name, spell(getattr(of, entry.name)), origin, entry.metadata["reason"],
            style="dim" if origin == "default" else None,
        )  # fmt: skip
    return found


def page() -> str:
    """docs/settings.md."""
    kinds = typing.get_type_hints(Settings)
    lines = [_PAGE]
    for heading, entries in domains():
        lines += [
            f"## {heading}",
            "",
            "| setting | kind | default | what for |",
            "|---|---|---|---|",
        ]
        for entry in entries:
            default = spell(entry.default)
            told = f"`{default}`" if default else "empty"
            reason = entry.metadata["reason"].replace("|", "\\|").replace("<", "&lt;")
            lines.append(f"| `{entry.name}` | {_kind(kinds[entry.name])} | {told} | {reason} |")
        lines.append("")
    return "\n".join(lines)


def _kind(kind: object) -> str:
    """What may be written, in a word."""
    if typing.get_origin(kind) is tuple:
        return f"{_kind(typing.get_args(kind)[0])}s"
    words = {
        Duration: "duration", Path: "path", Secret: "secret", str: "text", int: "integer",
        float: "number",
    }  # fmt: skip
    return words[kind]  # type: ignore[index]
