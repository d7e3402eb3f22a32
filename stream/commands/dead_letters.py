"""`tidecast dead-letters`: what could not be used, why, and the way back."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from stream import settings as settings_module
from stream.commands import checks
from stream.commands.traffic import KafkaOption, moment
from stream.settings import Duration

if TYPE_CHECKING:
    from rich.progress import Progress

    from stream.letters.reading import Group, Letter
    from stream.letters.redrive import Redriven

console = Console(stderr=True, soft_wrap=True, highlight=False)
dead_letters_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help=(
        "What roles could not use: why, from where, and the way back.\n\n"
        "A message that does not decode, is too large or cannot be true goes to `dead.letters` as "
        "it came, with the reason in its headers. First `list`, then `show` an example; mend what "
        "wrote it, or the setting that refused it; then `redrive --dry-run`, and `redrive`."
    ),
)


def since(text: str) -> float:
    """Unix seconds of a time, or of so long ago: `1h`, `now`, unix seconds, an ISO date and time.

    Raises:
        typer.BadParameter: none of these.
    """
    try:
        if re.fullmatch(r"[\d.]+[smhd]", text):
            return time.time() - Duration.parse(text)
        return moment(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"got {text!r}; expected so long ago (90s, 15m, 2h, 7d), an ISO date and time such as "
            "2026-01-31T08:00 (UTC), or unix seconds"
        ) from error


TopicOption = Annotated[
    list[str] | None,
    typer.Option("--topic", help="Only of this topic, such as social.events; may be repeated."),
]
RoleOption = Annotated[
    list[str] | None,
    typer.Option("--role", help="Only what this role refused; may be repeated."),
]
ErrorOption = Annotated[
    list[str] | None,
    typer.Option("--error", help="Only this class, such as DecodeError; may be repeated."),
]
SinceOption = Annotated[
    float | None,
    typer.Option(
        parser=since,
        metavar="TIME",
        help="Only messages sent since then: so long ago (2h), an ISO date and time (UTC), or unix "
        "seconds.",
    ),
]


@dead_letters_app.command("list")
def list_letters(
    topic: TopicOption = None,
    role: RoleOption = None,
    error: ErrorOption = None,
    since: SinceOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with times in unix seconds.")
    ] = False,
    kafka: KafkaOption = None,
) -> None:
    """Counts what could not be used, by reason, role and topic; with an example of each.

    Numbers and what is quoted are left out of a reason, so that like ones count together. Times
    are those of the original messages. `came back` counts letters of messages that had been sent
    back before and failed again; `sent back`, those that have been since.
    """
    from stream.letters import reading as letters

    settings = settings_module.load(kafka=kafka)
    chosen = _filter(topic, role, error, since)

    async def count(progress: Progress) -> letters.Groups:
        within = await letters.bounds(settings)
        groups = letters.Groups(await letters.redriven_places(settings))
        total = sum(end - first for first, end in within.values())
        task = progress.add_task("dead letters", total=total)

        def advance(looked_at: int) -> None:
            progress.advance(task, looked_at)

        async for batch in letters.read(settings, within, chosen, advance):
            for letter in batch:
                groups.add(letter)
        return groups

    with _bar() as progress:
        groups = asyncio.run(count(progress)).listed()
    if as_json:
        _print_json(groups)
    else:
        _print_groups(groups, settings.kafka)


@dead_letters_app.command("show")
def show_letter(
    place: Annotated[
        str,
        typer.Argument(
            metavar="OFFSET",
            help="Of the letter on dead.letters, as `list` names it: partition/offset, such as "
            "2/17; an offset alone is of partition 0.",
        ),
    ],
    limit: Annotated[
        int, typer.Option("--bytes", min=1, help="Show so many bytes of key and value at most.")
    ] = 2000,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="Also write the original value, byte for byte, to this file."
        ),
    ] = None,
    kafka: KafkaOption = None,
) -> None:
    """Shows one letter: its headers, and the message as it came.

    What is no text is shown as bytes, and nothing in it can act on your terminal.
    """
    from stream.letters import reading as letters

    match = re.fullmatch(r"(?:(\d{1,9})/)?(\d{1,18})", place, re.ASCII)
    if match is None:
        raise typer.BadParameter(f"got {place!r}; expected partition/offset, such as 2/17")
    checks.writable("--output", output)
    settings = settings_module.load(kafka=kafka)
    at = int(match[1] or 0), int(match[2])
    letter = asyncio.run(letters.letter_at(settings, at))
    out = Console(highlight=False, markup=False, soft_wrap=True)
    out.print(f"dead letter {letters.spelled(at)}", style="bold")
    for name, value in letter.headers.items():
        out.print(f"{letters.printable(name)}: {letters.printable(value)}")
    out.print(f"sent: {_when(letter.timestamp)}")
    for name, data in (("key", letter.record.key), ("value", letter.record.value)):
        out.print()
        out.print(f"{name}: {'null' if data is None else f'{len(data):,} bytes'}", style="bold")
        if data:
            out.print(letters.shown(data, limit))
    if output is not None:
        output.write_bytes(letter.record.value or b"")
        console.print(f"value written to {output}")


@dead_letters_app.command("redrive")
def redrive_letters(
    topic: TopicOption = None,
    role: RoleOption = None,
    error: ErrorOption = None,
    since: SinceOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be sent, and what not and why.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Send also what would fail again, has come back, or belongs on a compacted topic.",
        ),
    ] = False,
    kafka: KafkaOption = None,
) -> None:
    """Sends messages back to their topics, once what made them fail is mended.

    Original key, bytes, topic and partition; the Kafka timestamp is now. Each letter is sent once,
    whoever asks again. What would only fail again is kept back: each message is decoded first, and
    `event_bytes` and `clock_skew` are looked at, so run this with the settings of the roles. A
    message that fails again is a new letter, which says so, and goes back only with --force, three
    times at most. Ends with 1 if something was kept back. Run one at a time.
    """
    from aiokafka.errors import KafkaError

    from stream.kafka.access.authorization import told
    from stream.letters import reading as letters
    from stream.letters import redrive

    settings = settings_module.load(kafka=kafka)
    chosen = _filter(topic, role, error, since)
    with _bar() as progress:
        task = progress.add_task("dead letters", total=None)
        try:
            done = asyncio.run(
                redrive.redrive(
                    settings,
                    chosen,
                    force=force,
                    dry_run=dry_run,
                    begin=lambda total: progress.update(task, total=total),
                    advance=lambda count: progress.advance(task, count),
                )
            )
        except KafkaError as failure:
            raise letters.LettersError(
                f"{settings.kafka} refused a message ({told(settings, failure)}); what was sent "
                "until then is noted on redriven.letters: mend it and run this again, nothing is "
                "sent twice"
            ) from failure
    _print_redriven(done, dry_run)
    if done.refused:
        raise typer.Exit(1)


def _filter(
    topics: list[str] | None, roles: list[str] | None, errors: list[str] | None, since: float | None
) -> Callable[[Letter], bool]:
    """Whether a letter is asked for. Raises typer.BadParameter at a name that cannot be."""
    from topics.catalogue import CATALOGUE

    readers = {reader for topic in CATALOGUE.values() for reader in topic.readers}
    for option, given, known in (
        ("--topic", topics, set(CATALOGUE)),
        ("--role", roles, readers & {"tracker", "historian", "forecaster", "ranker", "scorer"}),
    ):
        for name in given or ():
            if name not in known:
                raise typer.BadParameter(
                    f"got {name!r}; there are: {', '.join(sorted(known))}", param_hint=option
                )

    def chosen(letter: Letter) -> bool:
        return (
            (not topics or letter.topic in topics)
            and (not roles or letter.role in roles)
            and (not errors or letter.error in errors)
            and (since is None or letter.timestamp >= since)
        )

    return chosen


def _bar() -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _when(seconds: float) -> str:
    """A time to the second, UTC; a number where it lies beyond the calendar."""
    from topics.records import YEAR_2100

    if not 0 <= seconds < YEAR_2100:
        return f"{seconds:g} s"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _print_groups(groups: list[Group], kafka: str) -> None:
    from stream.letters.reading import printable, spelled

    out = Console(highlight=False, markup=False, soft_wrap=True)
    if not groups:
        out.print(f"no such dead letters on {kafka}")
        return
    for group in groups:
        counts = f"{group.count:,}"
        if group.came_back:
            counts += f", {group.came_back:,} came back"
        if group.redriven:
            counts += f", {group.redriven:,} sent back"
        named = printable(f"{group.error}  {group.role} on {group.topic}")
        out.print(f"{counts}  {named}", style="bold")
        out.print(f"  {printable(group.reason)}")
        out.print(
            f"  {_when(group.first)} to {_when(group.last)}; such as {spelled(group.example)}\n",
            style="dim",
        )
    out.print(
        f"{sum(group.count for group in groups):,} dead letters; "
        "`tidecast dead-letters show OFFSET` shows one"
    )


def _print_json(groups: list[Group]) -> None:
    import dataclasses

    import orjson

    from stream.letters.reading import spelled

    told = [dataclasses.asdict(group) | {"example": spelled(group.example)} for group in groups]
    content = {"letters": sum(group.count for group in groups), "groups": told}
    typer.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2).decode())


def _print_redriven(done: Redriven, dry_run: bool) -> None:
    from stream.letters.reading import printable, spelled

    out = Console(highlight=False, markup=False, soft_wrap=True)
    verb = "would be sent back" if dry_run else "sent back"
    for topic, count in sorted(done.sent.items()):
        out.print(f"{count:,} {verb} to {topic}")
    if not done.sent:
        out.print(f"none {verb}")
    if done.already:
        out.print(f"{done.already:,} passed over: they were sent back before")
    for found, refused in sorted(done.refused.items(), key=lambda item: -item[1].count):
        out.print(
            f"{refused.count:,} kept back, such as {spelled(refused.example)}: "
            f"{printable(found.reason)}{'' if found.final else ' (--force sends it all the same)'}"
        )
