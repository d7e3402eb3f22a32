"""`tidecast models show`: what a version is, and how it has done at work."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from stream import settings as settings_module
from stream.commands.traffic import KafkaOption

if TYPE_CHECKING:
    from models.registry import ModelCard
    from stream.settings import Settings

RootOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the registry. Default: the setting `registry`, or the models that ship."
    ),
]


def show(
    name: Annotated[str, typer.Argument(help="Of the model, such as boosting.")],
    version: Annotated[str | None, typer.Argument(help="Such as 2. Default: the newest.")] = None,
    root: RootOption = None,
    scores: Annotated[
        bool, typer.Option("--scores", help="Also how all versions on the broker have done.")
    ] = False,
    kafka: KafkaOption = None,
) -> None:
    """Shows the card of a version; with --scores also what came of its live forecasts.

    MSLE, MAPE and bias are of log2(1 + increment); `caught` is the share of the 1 % that grew most
    that were among the 1 % forecast to; `own` is what the figure before it is without corrections.
    """
    from models import registry

    settings = settings_module.load(kafka=kafka)
    out = Console(highlight=False, width=None if Console().is_terminal else 120)
    _show_card(out, registry.read_card(name, version, root or settings.registry or None))
    if scores:
        _show_scores(out, settings)


def _show_card(out: Console, card: ModelCard) -> None:
    out.print(f"{card.name} {card.version}", style="bold")
    out.print(f"{card.description}\ncreated {card.created} by: {card.command}")
    for data in card.data:
        out.print(f"learnt from {data.file}: {data.cascades:,} cascades, {data.events:,} events")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("test set", "window", "cascades", "MSLE", "MAPE", "coverage"):
        table.add_column(column, justify="left" if column in ("test set", "window") else "right")
    for file, windows in card.metrics.items():
        if file == "members":
            continue
        for window, found in windows.items():
            table.add_row(
                file, window, str(found["n"]), f"{found['msle']:.3f}", f"{found['mape']:.3f}",
                f"{found['coverage_90']:.3f}",
            )  # fmt: skip
    if table.row_count:
        out.print(table)


def _show_scores(out: Console, settings: Settings) -> None:
    from stream.scorer import versions

    with Console(stderr=True).status("reading the scores"):
        scores = asyncio.run(versions.read_scores(settings))
    if not scores:
        out.print(
            f"\nno scores on {settings.kafka} yet: the first come when a cascade that was forecast "
            f"is {settings.horizons[0]:g} s old and `tidecast scorer` runs"
        )
        return
    table = Table(
        box=None, pad_edge=False, header_style="dim", title_justify="left", title_style="bold",
        title="\nlive forecasts held against what happened",
    )  # fmt: skip
    for column in ("model", "", "horizon"):
        table.add_column(column)
    for column in ("scores", "MSLE", "own", "MAPE", "bias", "coverage", "own", "caught"):
        table.add_column(column, justify="right")
    for kind, horizon, found in versions.summary(scores, settings.horizons):
        table.add_row(
            f"{kind.model} {kind.version}", kind.kind,
            "all" if horizon is None else f"{horizon / 3600:g} h",
            f"{found.n:,}", f"{found.msle:.3f}", f"{found.own_msle:.3f}", f"{found.mape_ratio:.3f}",
            f"{found.bias_log2:+.3f}", f"{found.coverage_ratio:.3f}",
            f"{found.own_coverage_ratio:.3f}", f"{found.top_caught_ratio:.2f}",
        )  # fmt: skip
    out.print(table)
