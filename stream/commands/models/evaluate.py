"""`tidecast evaluate cascades`: models side by side on recorded cascades, as figures and a picture.

What is compared and how lies in `models.judging.comparison`; here are the options, the choice of
what is tested on, and what is shown.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from stream import settings
from stream.commands import checks
from stream.commands.models import evaluate_caching
from stream.commands.models import evaluate_display as shown
from stream.commands.models.evaluate_display import console
from stream.commands.models.options import JsonOption, PlotOption, RegistryOption, SeedOption
from stream.commands.models.report import Bars, command_line
from stream.settings import Duration

if TYPE_CHECKING:
    from models.cascades.recordings import Recording, Source
    from models.cascades.windows import Window
    from models.data.datasets import Split
    from models.judging.candidates import Candidate
    from models.learning.recipes import Recipe

evaluate_app = typer.Typer(
    no_args_is_help=True, help="Measures models on recorded data that they were not trained on."
)
evaluate_app.command("caching")(evaluate_caching.evaluate_caching)

# Fewer cascades than this cannot be split and learnt from.
MIN_RECORDED = 20


@evaluate_app.callback()
def _group() -> None:
    """Measures models on recorded data that they were not trained on."""


@evaluate_app.command("cascades")
def evaluate_cascades(
    file: Annotated[
        Path, typer.Argument(help="Recorded cascades to test on (plain, .gz, .bz2 or .xz).")
    ],
    observe: Annotated[
        list[str],
        typer.Option(
            "--observe",
            help="Age at which cascades are observed, such as 30m or 1h. Repeat it, each with "
            "its --horizon, for several windows: models for any time are trained once for all.",
        ),
    ],
    horizon: Annotated[
        list[str],
        typer.Option("--horizon", help="Age up to which events are forecast, such as 24h or 15d."),
    ],
    train: Annotated[
        list[Path] | None,
        typer.Option(
            "--train",
            help="Learn from the training and validation parts of this file instead of FILE's; "
            "may be repeated.",
        ),
    ] = None,
    pretrained: Annotated[
        bool,
        typer.Option(
            "--pretrained", help="Train nothing: take the newest versions of the registry."
        ),
    ] = False,
    split: Annotated[
        Literal["chronological", "random"],
        typer.Option(
            help="How files are divided 70 / 15 / 15 into training, validation and test part. "
            "random (seed 0) leaks the future and is for comparison with published figures only."
        ),
    ] = "chronological",
    models: Annotated[
        str | None,
        typer.Option(
            help="Names joined by commas, such as boosting,seismic,mean. Default: all that can be "
            "trained, or with --pretrained all that the registry holds."
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Trainings of each model whose training draws anything.")
    ] = 3,
    seed: SeedOption = 0,
    prequential: Annotated[
        bool,
        typer.Option(
            "--prequential",
            help="Correct each forecast by the outcomes known by then, as the stream does "
            "(test, then train).",
        ),
    ] = False,
    registry: RegistryOption = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            help="Folder for trained models, KEEP/SEED/NAME/VERSION. A run that is "
            "repeated finds there what it, or another on the same data, has trained."
        ),
    ] = None,
    json_file: JsonOption = None,
    plot: PlotOption = None,
) -> None:
    """Trains models and measures them on the latest cascades of a file, or measures ready ones.

    Without more the models learn from FILE's earliest 70 %, choose by the next 15 % and are tested
    on the latest 15 %:

        tidecast evaluate cascades weibo.txt.xz --observe 30m --horizon 24h --observe 1h
        --horizon 24h --models boosting,seismic,mean --json runs/weibo.json

    `--train OTHER` learns from other files and tests on the whole of FILE. `--pretrained` takes the
    models that ship, or those in `--registry`. A file that a model was trained on, told by its
    digest, is only ever tested on in its test part. `--prequential` shows what a stream makes of
    the same models: there forecasts follow what came of earlier ones.

    Tested on are cascades with at least 10 observed events whose horizon lies inside the recording.
    The figures: MSLE and MAPE of the forecast's point on log2(1 + increment), with their standard
    deviation over the seeds; share of the increments inside the 90 % interval; pinball loss; and
    seconds of one training and of all forecasts.
    """
    windows = _windows(observe, horizon)
    if pretrained and (train or keep or split == "random"):
        raise typer.BadParameter(
            "--pretrained trains nothing, so --train, --keep and --split random do not go with it"
        )
    if registry is not None and not pretrained:
        raise typer.BadParameter("--registry is where --pretrained takes models from: add that")
    named = None if models is None else [name.strip() for name in models.split(",")]
    checks.readable(file)
    checks.readable(*(train or []))
    picture = checks.picture_of(json_file, plot)
    checks.writable_folder("--keep", keep)

    from models.cascades.recordings import read_recording
    from models.judging import comparison
    from models.judging.candidates import Kept
    from models.training import RECIPES, VARIANTS

    ready = []
    if pretrained:
        classes = settings.load().model_classes
        ready = comparison.pretrained(_held(named, registry), RECIPES, registry, classes)
    recipes = {} if pretrained else _known(named, RECIPES, VARIANTS)
    tested = read_recording(file)
    told: dict[str, Any] = {"file": file.name, "digest": tested.data.digest, "split": split,
                            "prequential": prequential}  # fmt: skip
    candidates: Iterable[Candidate]
    with Bars(console) as report:
        if pretrained:
            candidates = [candidate for candidate, _ in ready]
            learnt_from = [data for _, card in ready for data in card.data]
            told["versions"] = {card.name: card.version for _, card in ready}
        else:
            recordings = [read_recording(path) for path in train] if train else [tested]
            learnt_from = [recording.data for recording in recordings]
            kept = keep and Kept(keep, learnt_from, split, command_line())
            candidates = comparison.trained(
                recipes,
                [_learnable(recording, split) for recording in recordings],
                windows,
                range(seed, seed + seeds),
                report=report,
                kept=kept or None,
                skipped=lambda what: console.print(f"skipped: {what}", style="yellow"),
            )
        part = tested.data.digest in {data.digest for data in learnt_from}
        cascades = _split(tested, split).test if part else tested.cascades
        told |= {
            "tested_on": "test part" if part else "whole",
            "trained_on": shown.names(learnt_from),
        }
        shown.announce(tested, part, len(cascades), split, shown.names(learnt_from))
        compared = comparison.Comparison(cascades, tested.end, windows, prequential)
        shown.check_sizes(compared, tested, cascades)
        first: dict[tuple[str, Window | None], Candidate] = {}
        for candidate in candidates:
            console.print(shown.line(candidate, compared.add(candidate)))
            first.setdefault((candidate.name, candidate.window), candidate)
            if json_file:
                shown.write(json_file, told, compared.results())
    Console(width=None if sys.stdout.isatty() else 110).print(shown.table(compared.results()))
    if json_file:
        console.print(f"figures written to {json_file}")
    if picture and first:
        from models.judging.comparison_plot import draw

        title = f"{file.name}, {told['tested_on']}"
        draw(picture, title, list(first.values()), compared.chosen, cascades, tested.end)
        console.print(f"picture written to {picture}")


# ------------------------------------------------------------------ what is asked for


def _windows(observe: Sequence[str], horizon: Sequence[str]) -> list[Window]:
    from models.cascades.windows import Window

    if len(observe) != len(horizon):
        raise typer.BadParameter(
            f"got {len(observe)} --observe and {len(horizon)} --horizon; expected as many of both: "
            "they make windows in pairs, in the order given"
        )
    windows = []
    for pair in zip(observe, horizon, strict=True):
        try:
            window = Window(*(float(Duration.parse(text)) for text in pair))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        if not 0 < window.observed < window.horizon:
            raise typer.BadParameter(
                f"got --observe {pair[0]} --horizon {pair[1]}; expected to observe for more than 0 "
                "and less than the horizon, which counts from publication too"
            )
        windows.append(window)
    return list(dict.fromkeys(windows))


def _known(
    named: list[str] | None, recipes: Mapping[str, Recipe], variants: Mapping[str, Recipe]
) -> dict[str, Recipe]:
    """The recipes of the models named; those of `variants` only where they are named."""
    if named is None:
        return dict(recipes)
    known = {**recipes, **variants}
    unknown = [name for name in named if name not in known]
    if unknown:
        raise typer.BadParameter(
            f"--models: got {', '.join(map(repr, unknown))}; "
            f"there are recipes for {', '.join(recipes)}, and for the variants "
            f"{', '.join(variants)}"
        )
    return {name: known[name] for name in named}


def _held(named: list[str] | None, root: Path | None) -> list[str]:
    from models import registry

    held = registry.list_forecasters(root)
    if not held:
        raise registry.UnknownModelError(
            f"{root} holds no model; write one there with `tidecast train`, or choose another "
            "--registry"
        )
    return held if named is None else list(dict.fromkeys(named))


def _split(recording: Recording, split: str) -> Split:
    from models.data.datasets import split_chronologically, split_randomly

    divide = split_randomly if split == "random" else split_chronologically
    return divide(recording.cascades)


def _learnable(recording: Recording, split: str) -> Source:
    if recording.data.cascades < MIN_RECORDED:
        raise shown.NothingToTestError(
            f"{recording.data.file}: got {recording.data.cascades} cascades; expected at least "
            f"{MIN_RECORDED}, to split and learn from; give files to learn from by --train, or "
            "--pretrained"
        )
    return recording.source(_split(recording, split))
