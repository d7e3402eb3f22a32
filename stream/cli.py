"""`tidecast`: the command line. Each command imports what it needs when it is called."""

from __future__ import annotations

import asyncio
import importlib
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from models.extras import needed
from stream import settings as settings_module
from stream.commands import acls as acls_command
from stream.commands import contract as contract_command
from stream.commands import dead_letters, formats, traffic
from stream.commands import settings as settings_command
from stream.commands.models import evaluate, train_ranker
from stream.commands.models import publish as publish_command
from stream.commands.models import show as show_command
from stream.commands.models import train as training
from stream.commands.traffic import ForceOption, HoldOption, KafkaOption, StepOption
from stream.processes import starting
from stream.settings import Duration, Settings
from topics.errors import TidecastError

app = typer.Typer(
    name="tidecast",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help=(
        "Forecasts how far posts will spread and tells edge caches what to keep.\n\n"
        "`tidecast up` runs everything on this machine. In production each role is a command of "
        "its own: `tracker`, `historian`, `forecaster`, `ranker`, `scorer`, and `gateway`, which "
        "shows what comes out; `heart` proves the way through them.\n\n"
        "Every setting can be given in the environment (`TIDECAST_ALLOWED_LATENESS=1m`) or in a "
        "TOML file named by `TIDECAST_CONFIG`."
    ),
)
topics_app = typer.Typer(no_args_is_help=True, help="The topics on the broker.")
app.add_typer(topics_app, name="topics")
topics_app.command("acls")(acls_command.topics_acls)
app.add_typer(dead_letters.dead_letters_app, name="dead-letters")
app.add_typer(formats.formats_app, name="formats")
app.add_typer(traffic.replay_app, name="replay")
app.command("simulate")(traffic.simulate)
app.add_typer(training.train_app, name="train")
training.train_app.command("cachemamba")(train_ranker.train_cachemamba)
app.add_typer(evaluate.evaluate_app, name="evaluate")
app.add_typer(training.models_app, name="models")
for command in (
    show_command.show,
    publish_command.publish,
    publish_command.promote,
    publish_command.rollback,
):
    training.models_app.command(command.__name__)(command)
app.command("contract")(contract_command.contract)
app.command("settings")(settings_command.settings)

console = Console(stderr=True, soft_wrap=True, highlight=False)


def _settings(kafka: str | None = None) -> Settings:
    return settings_module.load(kafka=kafka)


# --------------------------------------------------------------------------- everything at once


@app.command()
def up(
    cascades: Annotated[
        list[Path] | None,
        typer.Option(
            "--cascades",
            help="File of recorded cascades to replay (plain, .gz, .bz2 or .xz); may be repeated.",
        ),
    ] = None,
    requests: Annotated[
        Path | None,
        typer.Option("--requests", help="File of recorded requests to replay."),
    ] = None,
    kafka: Annotated[
        str | None,
        typer.Option(
            "--kafka", help="A running Kafka, host:port. Default: an embedded broker is started."
        ),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            "--speed",
            min=0.001,
            help="Times real time. Default: files as fast as the slowest role keeps up, the "
            "simulator at 60.",
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--for",
            min=1,
            help="Stop sending after so many seconds, work off what was sent, and end. Default: "
            "when the files are sent; the simulator goes on until Ctrl-C.",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write a summary of the run to this file.")
    ] = None,
    edges: Annotated[int, typer.Option(min=1, help="Edges that the requests are spread over.")] = 4,
    rebase: Annotated[
        Duration | None,
        typer.Option(
            parser=Duration.parse,
            metavar="DURATION",
            help="Lay the publish times of the cascades onto a window of this length, such as 1h; "
            "recorded cascades lie months apart.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the simulator.")] = 0,
    logs: Annotated[
        Path, typer.Option(help="Folder that gets a folder of logs for each run.")
    ] = Path("runs"),
    force: ForceOption = False,
    hold: HoldOption = None,
    step: StepOption = None,
    stay: Annotated[
        bool,
        typer.Option(
            "--stay", help="Leave the page up when all has been worked off, until Ctrl-C."
        ),
    ] = False,
) -> None:
    """Runs the whole stream on this machine: broker, topics, roles, traffic, and a live display.

    Without files the traffic is simulated. Ctrl-C stops everything.
    """
    from stream.commands.up import run_up

    run_up(
        _settings(),
        cascades=cascades or [],
        requests=requests,
        kafka=kafka,
        speed=speed,
        seconds=seconds,
        json_file=json_file,
        edges=edges,
        rebase=rebase,
        seed=seed,
        logs=logs,
        force=force,
        hold=hold,
        step=step,
        stay=stay,
    )


# --------------------------------------------------------------------------- the roles


def _run(role: str, module: str, kafka: str | None) -> None:
    """Runs a role, which says what it is at from before its first import on."""
    settings = _settings(kafka)
    starting.begin(settings, role)
    main = importlib.import_module(module).main
    starting.tell_of_kernels()
    main(settings)


@app.command()
def tracker(kafka: KafkaOption = None) -> None:
    """Follows live cascades: `social.events` in, snapshots and outcomes out."""
    _run("tracker", "stream.tracker.role", kafka)


@app.command()
def historian(kafka: KafkaOption = None) -> None:
    """Sums requests into windows: `edge.requests` in, `edge.windows` out."""
    _run("historian", "stream.historian.role", kafka)


@app.command()
def forecaster(kafka: KafkaOption = None) -> None:
    """Forecasts popularity: snapshots in, `popularity.forecasts` out."""
    _run("forecaster", "stream.forecaster.role", kafka)


@app.command()
def ranker(kafka: KafkaOption = None) -> None:
    """Decides what caches keep: `edge.windows` in, `cache.decisions` out."""
    _run("ranker", "stream.ranker.role", kafka)


@app.command()
def scorer(kafka: KafkaOption = None) -> None:
    """Holds forecasts against outcomes: `forecast.scores` and `model.calibration` out."""
    _run("scorer", "stream.scorer.role", kafka)


@app.command()
def gateway(kafka: KafkaOption = None) -> None:
    """Serves the live page and the API: output topics in, HTTP out.

    At http://127.0.0.1:8080 unless `TIDECAST_HTTP_HOST` and `TIDECAST_HTTP_PORT` say otherwise;
    `/api/openapi.json` describes what may be asked.
    """
    _run("gateway", "stream.gateway.server", kafka)


@app.command()
def heart(kafka: KafkaOption = None) -> None:
    """Sends heartbeats through the whole flow, into every partition of the input topics.

    Each role passes them on behind what came before them; `/api/health` and the metrics tell how
    old they are at each stage. One heart is enough.
    """
    _run("heart", "stream.heart.role", kafka)


@app.command("edge-agent")
def edge_agent(
    edge: Annotated[
        str | None, typer.Option("--edge", help="The edge whose decisions it follows.")
    ] = None,
    kafka: KafkaOption = None,
) -> None:
    """Tells the cache beside it what to keep: `cache.decisions` of one edge in, look-ups out.

    Answers on a Unix socket and on a loopback port: `/decision?object=`, `/changes`, `/metrics`.
    A cache that cannot reach it, or hears that decisions are stale, does as it would without.
    `deploy/edge` has working configurations of nginx and Varnish.
    """
    from stream.edge.agent import main as run

    run(settings_module.load(kafka=kafka, edge=edge))


@app.command("broker")
def broker_command(
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port on 127.0.0.1.")] = 9092,
    folder: Annotated[
        Path, typer.Option(help="For its data, which it saves every second or two.")
    ] = Path("runs/broker"),
) -> None:
    """Runs the embedded Kafka-compatible broker in the foreground, and creates the topics.

    It holds everything in memory: for development and demonstrations. Production runs Kafka.
    Ctrl-C, SIGTERM and the end of the terminal stop it: it saves what it holds, within ten seconds.
    """
    from stream.commands.broker import run_broker

    run_broker(_settings(), folder, port)


# --------------------------------------------------------------------------- topics and health


@topics_app.command("create")
def topics_create(kafka: KafkaOption = None) -> None:
    """Creates the topics of the catalogue that are missing; those that exist stay as they are."""
    from stream.kafka import broker

    settings = _settings(kafka)
    created = broker.create_topics_now(settings)
    console.print(
        f"created on {settings.kafka}: {', '.join(created)}"
        if created
        else f"every topic exists on {settings.kafka}"
    )


@topics_app.command("list")
def topics_list() -> None:
    """Lists the topics: their keys, who writes, who reads, and what is in them."""
    from rich.table import Table

    from topics.catalogue import CATALOGUE

    out = Console(highlight=False, markup=False)
    table = Table(box=None, header_style="bold")
    for column in ("topic", "key", "written by", "read by"):
        table.add_column(column, overflow="fold")
    for topic in CATALOGUE.values():
        table.add_row(topic.name, topic.key, ", ".join(topic.writers), ", ".join(topic.readers))
    out.print(table)
    for topic in CATALOGUE.values():
        out.print(f"\n{topic.name} ({topic.cleanup})", style="bold")
        out.print(topic.description)


@app.command()
def doctor(kafka: KafkaOption = None) -> None:
    """Checks what the roles need, and says for each finding what to do.

    The broker answers, topics and partitions are right, messages have the keys they need, the
    model loads, the clock is sane; and what roles have noticed in the last hour.
    Ends with 1 if something is wrong.
    """
    from stream.doctor.checks import examine

    findings = asyncio.run(examine(_settings(kafka)))
    marks = {"ok": "[green]ok[/]     ", "warning": "[yellow]warning[/]", "wrong": "[red]wrong[/]  "}
    out = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        # What is found may quote what others sent.
        out.print(f"{marks[finding.level]}  {escape(finding.what)}")
        if finding.to_do:
            out.print(f"         {finding.to_do}", style="dim", markup=False)
    if any(finding.level == "wrong" for finding in findings):
        raise typer.Exit(1)


def main() -> None:
    """Runs the command line; errors that a user can mend are one message, not a traceback."""
    try:
        with needed(f"this command ({' '.join(sys.argv[1:3])}) trains or evaluates models"):
            app()
    except (TidecastError, OSError) as error:
        _end(f"{type(error).__name__}: {error}")
    except Exception as error:
        # A broker may refuse any request; who has asked none need not wait for this import.
        from stream.kafka.access.authorization import worded

        refusal = worded(_settings(), error)
        if refusal is None:
            raise
        _end(refusal)


def _end(message: str) -> NoReturn:
    console.print(message, style="red", markup=False)
    sys.exit(1)
