"""`tidecast train` and `tidecast models`: makes versions of models and lists those there are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from stream.commands import checks
from stream.commands.models.report import Bars, command_line
from stream.commands.models.show import RootOption

if TYPE_CHECKING:
    from models.cascades.recordings import Recording

console = Console(stderr=True, soft_wrap=True, highlight=False)
train_app = typer.Typer(
    no_args_is_help=True, help="Makes a version of a model from recorded cascades or requests."
)
models_app = typer.Typer(no_args_is_help=True, help="The versions of models in the registry.")

CascadesOption = Annotated[
    list[Path],
    typer.Option(
        "--cascades",
        help="File of recorded cascades (plain, .gz, .bz2 or .xz); repeat it for several. Of each "
        "file the earliest 70 % train, the next 15 % validate, the latest 15 % are only tested on.",
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
    typer.Option(help="Folder of the registry; the version is written to OUTPUT/NAME/VERSION."),
]
VersionOption = Annotated[
    str, typer.Option(help="Of the model to write: whole numbers joined by dots.")
]
SeedOption = Annotated[
    int, typer.Option(help="The same seed, data and options give the same model.")
]
ComponentsOption = Annotated[
    str,
    typer.Option(
        help="Parts of the paper's model, joined by commas: structure, users, encoder, likelihood."
    ),
]
MembersOption = Annotated[
    int, typer.Option(min=1, help="Networks trained side by side, whose answers are averaged.")
]
EpochsOption = Annotated[
    int, typer.Option(min=1, help="At most; the validation parts stop it earlier.")
]
ThreadsOption = Annotated[int, typer.Option(min=1, help="Of the processor.")]
ResumeOption = Annotated[
    bool,
    typer.Option(
        help="Go on where a training with the same data, seed and options was interrupted."
    ),
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
    ] = 14,
    horizons: Annotated[int, typer.Option(min=1, help="Horizons drawn an observation.")] = 4,
    rounds: Annotated[
        int, typer.Option(min=1, help="Trees a model at most; more forecast slower.")
    ] = 500,
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


@train_app.command("concat")
def train_concat(
    cascades: CascadesOption,
    output: OutputOption = Path("runs/models"),
    version: VersionOption = "1",
    components: ComponentsOption = "",
    flow: Annotated[
        Literal["affine", "neural"],
        typer.Option(help="affine has a closed form; neural is a network, by Runge-Kutta steps."),
    ] = "affine",
    members: MembersOption = 4,
    epochs: EpochsOption = 40,
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
    resume: ResumeOption = True,
) -> None:
    """Trains ConCat, a neural jump ODE over a cascade's events, for any age and horizon.

    The paper's model in full: `--components structure,users,encoder,likelihood`.
    """
    _train_network(
        "concat", Options(cascades, output, version, seed), threads, resume,
        components=_components(components), flow=flow, members=members, epochs=epochs,
    )  # fmt: skip


@train_app.command("casft")
def train_casft(
    cascades: CascadesOption,
    output: OutputOption = Path("runs/models"),
    version: VersionOption = "1",
    components: ComponentsOption = "likelihood",
    trend: Annotated[
        Literal["diffusion", "regression"],
        typer.Option(help="How the trend to the horizon is had; regression gives its mean alone."),
    ] = "diffusion",
    members: MembersOption = 2,
    epochs: EpochsOption = 40,
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
    resume: ResumeOption = True,
) -> None:
    """Trains CasFT: the jump ODE carried on to the horizon, and trends drawn by diffusion."""
    _train_network(
        "casft", Options(cascades, output, version, seed), threads, resume,
        components=_components(components), trend=trend, members=members, epochs=epochs,
    )  # fmt: skip


@train_app.command("mlp")
def train_mlp(
    cascades: CascadesOption,
    output: OutputOption = Path("runs/models"),
    version: VersionOption = "1",
    members: MembersOption = 4,
    epochs: EpochsOption = 16,
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
    resume: ResumeOption = True,
) -> None:
    """Trains a perceptron on the hand features, encoded piecewise-linearly."""
    _train_network(
        "mlp", Options(cascades, output, version, seed), threads, resume,
        members=members, epochs=epochs,
    )  # fmt: skip


@train_app.command("served")
def train_served(
    cascades: CascadesOption,
    output: OutputOption = Path("runs/models"),
    version: VersionOption = "1",
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
    resume: ResumeOption = True,
) -> None:
    """Trains what is served, a mixture of the perceptron and CasFT's regression variant.

    Both are mixed, unless one alone errs clearly less on the validation parts; SEISMIC answers for
    cascades unlike these. The members are written beside the mixture, under the same version.
    """
    _train_network("served", Options(cascades, output, version, seed), threads, resume)


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
    root: RootOption = None,
) -> None:
    """Lists the versions of models, and what each is."""
    from models import registry
    from stream import settings

    folder = root or settings.load().registry or None
    table = Table(box=None)
    for column in ("model", "version", "created", "what it is"):
        table.add_column(column)
    for name in registry.list_names(folder):
        for version in registry.list_versions(name, folder):
            card = registry.read_card(name, version, folder)
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
    from models import registry
    from models.data.datasets import split_chronologically
    from models.forecasters.served import Served
    from models.judging import evaluation
    from models.training import MEMBERS, RECIPES

    files = [*told.cascades, *told.background]
    checks.readable(*told.cascades)
    checks.readable(*told.background)
    checks.new_version(told.output, [name, *(MEMBERS if name == "served" else ())], told.version)
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
    metrics: dict[str, Any] = evaluation.by_window(model, tests)
    if isinstance(model, Served):
        metrics["members"] = {
            member.name: evaluation.by_window(member, tests) for member in model.models
        }
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
        metrics=metrics,
    )
    console.print(f"{model.name} {model.version} written to {folder}")


def _train_network(name: str, told: Options, threads: int, resume: bool, **options: Any) -> None:
    """`_train` of what PyTorch computes, which is saved after every epoch until it is done."""
    import torch

    from models.kernels.threads import limit
    from models.learning.checkpoint import checkpoints

    torch.set_num_threads(threads)
    limit(threads)
    with checkpoints(told.output / ".unfinished", resume):
        _train(name, told, **options)


def _components(text: str) -> tuple[str, ...]:
    from models.forecasters.concat import COMPONENTS

    named = tuple(word.strip() for word in text.split(",") if word.strip())
    unknown = [word for word in named if word not in COMPONENTS]
    if unknown:
        raise typer.BadParameter(
            f"got {', '.join(unknown)}; expected some of {', '.join(COMPONENTS)}"
        )
    return named


def _read(path: Path) -> Recording:
    from models.cascades.recordings import read_recording

    recording = read_recording(path)
    if recording.data.cascades < 20:
        raise typer.BadParameter(
            f"{path}: got {recording.data.cascades} cascades; expected at least 20, to split and "
            "learn from"
        )
    return recording
