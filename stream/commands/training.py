"""`tidecast train` and `tidecast models`: makes versions of models and lists those there are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from stream.commands.report import Bars, command_line

if TYPE_CHECKING:
    from models.recordings import Recording

console = Console(stderr=True, soft_wrap=True, highlight=False)
train_app = typer.Typer(
    no_args_is_help=True, help="Makes a version of a model from recorded cascades."
)
models_app = typer.Typer(no_args_is_help=True, help="The versions of models in the registry.")

CascadesOption = Annotated[
    list[Path],
    typer.Option(
        "--cascades",
        help="File of recorded cascades (plain, .xz or .gz); repeat it for several. Of each file "
        "the earliest 70 % train, the next 15 % validate, the latest 15 % are only tested on.",
    ),
]
BackgroundOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--background",
        help="File of cascades of another kind, which count --background-weight of the others: "
        "so the model has seen such, and is not drawn away from what it mostly serves.",
    ),
]
BackgroundWeightOption = Annotated[
    float, typer.Option(min=0, max=1, help="What a background file counts; a cascades file: 1.")
]
OutputOption = Annotated[
    Path,
    typer.Option(
        help="Folder of the registry; the version is written to <output>/<name>/<version>/."
    ),
]
VersionOption = Annotated[
    str, typer.Option(help="Of the model to write: whole numbers joined by dots.")
]
SeedOption = Annotated[
    int, typer.Option(help="The same seed, data and options give the same model.")
]


@train_app.command("boosting")
def train_boosting(
    cascades: CascadesOption,
    output: OutputOption = Path("runs/models"),
    version: VersionOption = "1",
    background: BackgroundOption = None,
    background_weight: BackgroundWeightOption = 0.1,
    ages: Annotated[
        int, typer.Option(min=1, help="Ages drawn a cascade, beside those of its growth.")
    ] = 24,
    horizons: Annotated[int, typer.Option(min=1, help="Horizons drawn an observation.")] = 4,
    rounds: Annotated[
        int, typer.Option(min=1, help="Trees a quantile at most; more forecast slower.")
    ] = 200,
    leaves: Annotated[int, typer.Option(min=2, help="Leaves a tree.")] = 31,
    learning_rate: Annotated[float, typer.Option(min=0.001, max=1, help="Of the boosting.")] = 0.08,
    recency: Annotated[
        float,
        typer.Option(
            min=0, help="The latest training cascade counts e^recency times the earliest; 0: alike."
        ),
    ] = 1.0,
    threads: Annotated[
        int, typer.Option(min=1, help="Of LightGBM; more only pay on cores that are idle.")
    ] = 1,
    seed: SeedOption = 0,
) -> None:
    """Trains the gradient boosting and writes it as a version of the registry.

    The test parts are not looked at but for the metrics of the model card.
    """
    _train(
        "boosting",
        Options(cascades, output, version, seed, background or [], background_weight),
        ages=ages,
        horizons=horizons,
        rounds=rounds,
        leaves=leaves,
        learning_rate=learning_rate,
        recency=recency,
        threads=threads,
    )


@train_app.command("seismic")
def train_seismic(
    cascades: CascadesOption,
    output: OutputOption = Path("runs/models"),
    version: VersionOption = "1",
    ages: Annotated[
        int, typer.Option(min=1, help="Ages drawn a cascade, beside those of its growth.")
    ] = 6,
    horizons: Annotated[int, typer.Option(min=1, help="Horizons drawn an observation.")] = 3,
    seed: SeedOption = 0,
) -> None:
    """Fits SEISMIC's constants to the training parts and writes them as a version.

    The validation and test parts are not looked at but for the metrics of the model card.
    """
    _train("seismic", Options(cascades, output, version, seed), ages=ages, horizons=horizons)


@models_app.command("list")
def list_models(
    root: Annotated[
        Path | None, typer.Option(help="Folder of the registry. Default: the models that ship.")
    ] = None,
) -> None:
    """Lists the versions of models, and what each is."""
    from models import registry

    table = Table(box=None)
    for column in ("model", "version", "created", "what it is"):
        table.add_column(column)
    for name in registry.list_names(root):
        for version in registry.list_versions(name, root):
            card = registry.read_card(name, version, root)
            table.add_row(card.name, card.version, card.created, card.description)
    Console().print(table)


class Options(NamedTuple):
    """What every `tidecast train` is told; see the options of the same names."""

    cascades: Sequence[Path]
    output: Path
    version: str
    seed: int
    background: Sequence[Path] = ()
    background_weight: float = 0.0


def _train(name: str, told: Options, **options: Any) -> None:
    """Trains a model by its recipe, measures it on the test parts and writes it as a version.

    Args:
        name: of the recipe, a key of `RECIPES`.
        told: what every training is told.
        options: what this recipe is told besides.
    """
    from models import evaluation, registry
    from models.datasets import split_chronologically
    from models.training import RECIPES

    files = [*told.cascades, *told.background]
    shares = [1.0] * len(told.cascades) + [told.background_weight] * len(told.background)
    recordings = [_read(path) for path in files]
    splits = [split_chronologically(recording.cascades) for recording in recordings]
    recipe = RECIPES[name]
    with Bars(console) as report:
        model, found = recipe(
            [
                recording.source(split, share)
                for recording, split, share in zip(recordings, splits, shares, strict=True)
            ],
            seed=told.seed,
            report=report,
            **options,
        )
    model.version = told.version
    tests = {r.data.file: (s.test, r.end) for r, s in zip(recordings, splits, strict=True)}
    training: dict[str, Any] = {"seed": told.seed}
    if told.background:
        training["background"] = [path.name for path in told.background]
        training["background_weight"] = told.background_weight
    folder = registry.write(
        model,
        told.output,
        description=recipe.description,
        command=command_line(),
        data=[recording.data for recording in recordings],
        training=training | found,
        metrics=evaluation.by_window(model, tests),
    )
    console.print(f"{model.name} {model.version} written to {folder}")


def _read(path: Path) -> Recording:
    from models.recordings import read_recording

    recording = read_recording(path)
    if recording.data.cascades < 20:
        raise typer.BadParameter(
            f"{path}: got {recording.data.cascades} cascades; expected at least 20, to split and "
            "learn from"
        )
    return recording
