"""`tidecast formats`: other people's records, and what becomes of them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from stream.sources.formats.format import Format
    from stream.sources.formats.mapping import Condition, Field, Section

console = Console(soft_wrap=True, highlight=False)
formats_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help=(
        "Other people's records: access logs, envelopes, fields of any name.\n\n"
        "A format says what becomes of them, as data. `list` has those that ship; `show` prints "
        "one, to be copied and changed; `try` shows what becomes of the lines of a file. A format "
        "is used by its name or by the path of its file: "
        "`TIDECAST_REQUESTS_FORMAT=filebeat+nginx-combined?host=www.example.com`."
    ),
)
FormatArgument = Annotated[
    str,
    typer.Argument(
        metavar="FORMAT",
        help="Its name, or the path of its .toml file; envelopes before it (filebeat+NAME), "
        "parameters behind it (NAME?edge=fra-3).",
    ),
]


@formats_app.command("list")
def list_formats() -> None:
    """Lists the formats that ship."""
    from stream.sources.formats.format import presets

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("format", "topics", "what it is"):
        table.add_column(name, overflow="fold")
    for one in presets():
        table.add_row(one.name, ", ".join(one.topics) or "around another: NAME+FORMAT", one.about)
    console.print(table)


@formats_app.command("show")
def show_format(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a format that ships.")],
) -> None:
    """Prints the file of a format that ships: `tidecast formats show nginx-json > mine.toml`."""
    from stream.sources.formats.format import file_of

    print(file_of(name).read_text(), end="")


@formats_app.command("try")
def try_format(
    form: FormatArgument,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Lines to try it on, plain, .gz, .bz2 or .xz; - reads them."
        ),
    ],
    topic: Annotated[
        str,
        typer.Option(help="Whose records are to come of it; needed where a format has several."),
    ] = "",
    lines: Annotated[
        int, typer.Option(min=0, help="How many to show; all are tried, and counted.")
    ] = 10,
) -> None:
    """Shows the mapping, and what each line becomes: a record, nothing, or an error and why.

    Exits with 1 if a line is refused.
    """
    from stream.sources.formats.errors import FieldError

    found = _found(form, topic)
    encode = found.topic.codec.encode
    _print_mapping(found)
    counts: Counter[str] = Counter()
    with _lines(file) as source:
        for number, line in enumerate(source, 1):
            told = []
            try:
                records = found.records(line.encode())
                told = [("green", encode(record).decode()) for record in records]
                counts["become records" if records else "are passed over"] += 1
            except FieldError as error:
                told = [("red", f"refused: {error}")]
                counts["are refused"] += 1
            for style, text in (told or [("dim", "passed over")]) if number <= lines else ():
                console.print(f"line {number:,}: {text}", style=style, markup=False)
    console.print(
        f"{counts.total():,} lines: "
        + (", ".join(f"{count:,} {what}" for what, count in counts.most_common()) or "none"),
        style="bold",
    )
    if counts["are refused"]:
        raise typer.Exit(1)


def _found(name: str, topic: str) -> Format:
    """The format, for the topic or for the only one that it makes records of.

    Raises:
        typer.BadParameter: there are several, or none of that name.
    """
    from stream.sources.formats.format import find, topics_of
    from topics.catalogue import CATALOGUE

    able = topics_of(name)
    if topic and topic not in able:
        raise typer.BadParameter(f"got {topic!r}; {name} makes records of {', '.join(able)}")
    if not topic and len(able) != 1:
        raise typer.BadParameter(f"{name} makes records of {', '.join(able)}; say --topic")
    return find(name, CATALOGUE[topic or able[0]])


def _print_mapping(form: Format) -> None:
    """Where each field of the record comes from."""
    sections = form.mappings[-1].topics.get(form.topic.name, [])
    for number, section in enumerate(sections, 1):
        of = f", alternative {number}" if len(sections) > 1 else ""
        console.print(f"{form.topic.name}{of}", style="bold", markup=False)
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
        for name, told in _rows(section):
            table.add_row(name, Text(told))
        console.print(table)


def _rows(section: Section) -> Iterator[tuple[str, str]]:
    if section.each:
        yield "for each of", section.each
    for condition in section.where:
        yield "where", f"{condition.path} {_condition(condition)}"
    for name, field in section.fields.items():
        yield name, _field(field)


def _condition(condition: Condition) -> str:
    told = msgspec.to_builtins(condition)
    return ", ".join(
        f"{word} {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for word, value in told.items()
        if word != "path" and value is not None
    )


def _field(field: Field) -> str:
    if field.value is not None:
        return repr(field.value)
    sources = [field.from_] if isinstance(field.from_, str) else field.from_
    told = ", else ".join(sources)
    if field.time:
        told += f" ({field.time}{' ' + field.zone if field.zone else ''})"
    if field.values:
        told += ": " + ", ".join(f"{key} = {value}" for key, value in field.values.items())
    if field.otherwise is not None:
        told += f", otherwise {field.otherwise}"
    if field.default is not None:
        told += f", by default {field.default}"
    for condition in field.when:
        told += f"; when {condition.path} {_condition(condition)}"
    return told


@contextmanager
def _lines(file: Path) -> Iterator[Iterator[str]]:
    """The lines of a file, or of standard input."""
    from models.data.text import opened

    if str(file) == "-":
        yield (line.rstrip("\r\n") for line in sys.stdin)
        return
    with opened(file) as source:
        yield (line.rstrip("\r\n") for line in source)
