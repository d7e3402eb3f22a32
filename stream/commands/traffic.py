"""`tidecast replay` and `tidecast simulate`: traffic for the input topics of a running broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from stream import settings
from stream.commands import checks
from stream.processes.stopping import when_told
from stream.settings import Duration

if TYPE_CHECKING:
    from stream.sources.feed import Sent
    from stream.sources.holding import Hold
    from stream.sources.messages import Source

DRY_RUN_MESSAGES = 10
_LOOK_SECONDS = 0.1

console = Console(stderr=True, soft_wrap=True, highlight=False)
replay_app = typer.Typer(
    no_args_is_help=True,
    help="Sends recorded cascades or requests to a running broker, in order of event time.",
)


class Kind(StrEnum):
    """What the events after a cascade's post are."""

    SHARE = "share"
    REPLY = "reply"
    VIEW = "view"


def moment(text: str) -> float:
    """Unix seconds of `now`, of unix seconds, or of an ISO date and time (UTC unless it says).

    Raises:
        ValueError: none of these, or not from 1970 to 2099.
    """
    from models.data.text import number, unix_seconds

    if text == "now":
        return time.time()
    try:
        number(text)
    except ValueError:
        when = datetime.fromisoformat(text)  # its message names the text
        text = str((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
    return unix_seconds(text)


KafkaOption = Annotated[
    str | None,
    typer.Option("--kafka", help="host:port,... of the brokers. Default: the setting `kafka`."),
]
SpeedOption = Annotated[
    float,
    typer.Option(
        min=0,
        help="Seconds of event time that pass in one second: 1 is real time, 3600 an hour a "
        "second, 0 as fast as the broker takes it.",
    ),
]
LimitOption = Annotated[
    int | None, typer.Option(min=1, help="Stop after so many messages. Default: all of them.")
]
SecondsOption = Annotated[
    float | None, typer.Option("--for", min=0, help="Stop sending after so many seconds.")
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Send nothing; print the first messages to standard output, one JSON object a line: "
        f"{DRY_RUN_MESSAGES} of them, or as many as --limit says.",
    ),
]
ForceOption = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Send it though it is older than what the broker has: roles drop what comes too late.",
    ),
]
HoldOption = Annotated[
    Duration | None,
    typer.Option(
        "--hold",
        parser=Duration.parse,
        metavar="DURATION",
        help="Stop after so much event time, so that what is forecast then can be looked at; Enter "
        "goes on.",
    ),
]
StepOption = Annotated[
    Duration | None,
    typer.Option(
        "--step",
        parser=Duration.parse,
        metavar="DURATION",
        help="With --hold: Enter goes on for so much event time, and stops again.",
    ),
]
EdgesOption = Annotated[int, typer.Option(min=1, help="Edges: edge-0, edge-1, ...")]


@replay_app.command("cascades")
def replay_cascades(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Recorded cascades (plain, .gz, .bz2 or .xz), merged by event time. Identifiers "
            "are prefixed by the file's name, up to its first dot."
        ),
    ],
    kafka: KafkaOption = None,
    speed: SpeedOption = 0,
    hold: HoldOption = None,
    step: StepOption = None,
    rebase: Annotated[
        Duration | None,
        typer.Option(
            parser=Duration.parse,
            metavar="DURATION",
            help="Lay the publish times of each file evenly onto a window of this length, such as "
            "1h; order and delays are kept. Recorded cascades lie months apart: this way they "
            "are alive together.",
        ),
    ] = None,
    start: Annotated[
        float | None,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help="When that window begins: an ISO date and time (UTC), unix seconds, or `now`. "
            "Default: 2015-01-01. What would lie in the future is sent when its time comes.",
        ),
    ] = None,
    kind: Annotated[
        Kind, typer.Option(help="What the events after a cascade's post are.")
    ] = Kind.SHARE,
    limit: LimitOption = None,
    seconds: SecondsOption = None,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Sends recorded cascades to `social.events`."""
    from stream.sources.replay import REBASE_START, CascadeReplay

    if start is not None and rebase is None:
        raise typer.BadParameter("--start moves the window of --rebase; give that too")
    checks.readable(*files)
    held = hold_of(hold, step)
    in_force = _reached(kafka, dry_run)
    with console.status("reading files"):
        source = CascadeReplay(
            files,
            kind=kind.value,
            window=rebase,
            start=REBASE_START if start is None else start,
        )
    way_out = (
        None if force else f"Lay it after them with --rebase {rebase or '1h'} --start {{after}}"
    )
    _run(source, in_force, speed, limit, seconds, way_out, held)


@replay_app.command("requests")
def replay_requests(
    file: Annotated[Path, typer.Argument(help="Recorded requests (plain, .gz, .bz2 or .xz).")],
    kafka: KafkaOption = None,
    speed: SpeedOption = 0,
    hold: HoldOption = None,
    step: StepOption = None,
    edges: EdgesOption = 4,
    start: Annotated[
        float | None,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help="Move the trace so that it begins then: an ISO date and time (UTC), unix "
            "seconds, or `now`. Default: the recorded times.",
        ),
    ] = None,
    limit: LimitOption = None,
    seconds: SecondsOption = None,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Sends recorded requests to `edge.requests`; a client always asks the same edge."""
    from stream.sources.replay import RequestReplay

    checks.readable(file)
    held = hold_of(hold, step)
    in_force = _reached(kafka, dry_run)
    with console.status("reading the file"):
        source = RequestReplay(file, edges=edges, start=start)
    way_out = None if force else "Lay it after them with --start {after}"
    _run(source, in_force, speed, limit, seconds, way_out, held)


def simulate(
    kafka: KafkaOption = None,
    speed: SpeedOption = 1,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            help="The same seed gives the same messages. Identifiers carry it: send another seed "
            "to a broker that has seen this one, or all will be duplicates.",
        ),
    ] = 0,
    rate: Annotated[
        float,
        typer.Option(
            min=0,
            help="New cascades a second of event time, each of about 160 events over two days.",
        ),
    ] = 1.0,
    requests_rate: Annotated[
        float, typer.Option(min=0, help="Requests a second of event time, over all edges.")
    ] = 100.0,
    edges: EdgesOption = 4,
    start: Annotated[
        float | None,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help="Event time of the beginning: an ISO date and time (UTC), unix seconds, or "
            "`now`. Default: 2020-01-01.",
        ),
    ] = None,
    parameters: Annotated[
        Path | None,
        typer.Option(help="JSON file of parameters. Default: those fitted to recorded data."),
    ] = None,
    limit: LimitOption = None,
    seconds: SecondsOption = None,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Sends simulated cascades and requests to `social.events` and `edge.requests`, until Ctrl-C.

    Cascades branch with a power-law memory, audiences are heavy-tailed, nights are quiet, and
    what is shared is requested. The parameters were fitted to recorded cascades.
    """
    from stream.sources import parameters as fitted
    from stream.sources.simulate import START, Simulation

    if parameters is not None:
        checks.readable(parameters)
    in_force = _reached(kafka, dry_run)
    with console.status("preparing the simulation"):
        source = Simulation(
            seed=seed,
            cascades_per_second=rate,
            requests_per_second=requests_rate,
            edges=edges,
            start=START if start is None else start,
            parameters=None if parameters is None else fitted.load(parameters),
        )
    way_out = None if force else "Lay it after them with --start {after}"
    _run(source, in_force, speed, limit, seconds, way_out)


def hold_of(after: float | None, step: float | None) -> Hold | None:
    """What `--hold` and `--step` ask for; None where nothing is held."""
    from stream.sources.holding import Hold

    if after is None:
        if step is not None:
            raise typer.BadParameter("--step goes on from where --hold stops: give that too")
        return None
    return Hold(after, step)


def _reached(kafka: str | None, dry_run: bool) -> settings.Settings | None:
    """The settings of a broker that answers and has the topics; None where nothing is sent.

    Raises:
        BrokerError: no broker answers, or a topic is missing.
    """
    if dry_run:
        return None
    from stream.kafka.broker import partitions
    from stream.sources.messages import EVENTS, REQUESTS

    in_force = settings.load(kafka=kafka)
    asyncio.run(partitions(in_force, [EVENTS, REQUESTS]))
    return in_force


def _run(
    source: Source,
    in_force: settings.Settings | None,
    speed: float,
    limit: int | None,
    seconds: float | None,
    way_out: str | None,
    hold: Hold | None = None,
) -> None:
    """Prints or sends the messages of a source.

    Args:
        in_force: None prints.
        way_out: for a source that would come too late; None sends that too.
        hold: where it is held; None nowhere.
    """
    from stream.sources.messages import Limited

    if in_force is None:
        _print(Limited(source, limit or DRY_RUN_MESSAGES))
        return
    if limit is not None:
        source = Limited(source, limit)
    began = time.monotonic()
    sent, stopped = asyncio.run(_send(source, in_force, speed or None, seconds, way_out, hold))
    took = time.monotonic() - began
    counts = ", ".join(f"{count:,} to {topic}" for topic, count in sorted(sent.counts.items()))
    until = "" if sent.latest is None else f"; event time up to {_readable(sent.latest)}"
    console.print(
        f"{'stopped; ' if stopped else ''}sent {counts or 'nothing'} in {took:.1f} s "
        f"({sent.total / took:,.0f}/s){until}"
    )


async def _send(
    source: Source,
    in_force: settings.Settings,
    speed: float | None,
    seconds: float | None,
    way_out: str | None,
    hold: Hold | None,
) -> tuple[Sent, bool]:
    """Feeds the source, with a progress bar; True beside the counts if a signal stopped it."""
    from rich import progress

    from stream.sources.feed import connect, feed
    from stream.sources.messages import EVENTS, REQUESTS
    from stream.sources.too_late import refuse_if_too_late

    stop = asyncio.Event()
    when_told(lambda _: stop.set())
    columns: Sequence[progress.ProgressColumn] = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TextColumn("{task.completed:,.0f}{task.fields[of]} sent"),
        progress.TextColumn("{task.fields[rate]:,.0f}/s"),
        progress.TextColumn("{task.fields[at]}"),
        progress.TimeRemainingColumn(compact=True),
    )
    producer = await connect(in_force, [EVENTS, REQUESTS])
    try:
        if way_out is not None:
            await refuse_if_too_late(source, in_force, way_out)
        with progress.Progress(*columns, console=console, transient=True) as display:
            of = "" if source.total is None else f" of {source.total:,}"
            task = display.add_task(source.name, total=source.total, of=of, at="", rate=0.0)
            began = time.monotonic()
            until = None if seconds is None else began + seconds

            def show(sent: Sent) -> None:
                rate = sent.total / max(time.monotonic() - began, 1e-3)
                at = "" if sent.latest is None else _readable(sent.latest)
                display.update(task, completed=sent.total, at=at, rate=rate)

            telling = asyncio.create_task(_tell_of(hold))
            try:
                sent = await feed(
                    source, producer, speed=speed, until=until, stop=stop, hold=hold, on_sent=show
                )
            finally:
                telling.cancel()
    finally:
        await producer.stop()
    return sent, stop.is_set()


async def _tell_of(hold: Hold | None) -> None:
    """Says where the source is held each time that it is, and lets it go on at Enter."""
    if hold is None:
        return
    from stream.sources.holding import at_each_line

    at_each_line(hold.go_on)
    told = None
    while True:
        if hold.held_at is not None and hold.held_at != told:
            told = hold.held_at
            console.print(f"held at {_readable(told)}, event time. {hold}; Ctrl-C ends.")
        await asyncio.sleep(_LOOK_SECONDS)


def _print(source: Source) -> None:
    """Writes messages to standard output, one JSON object a line."""
    import msgspec

    for batch in source:
        for message in batch:
            line = msgspec.json.encode(
                {
                    "topic": message.topic,
                    "key": message.key.decode(),
                    "value": msgspec.Raw(message.value),
                }
            )
            typer.echo(line)


def _readable(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S")
