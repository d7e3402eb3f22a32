"""`tidecast train` and `tidecast models`: makes versions of models and lists those there are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from models.datasets import Cascade, Split
    from models.registry import DataSet

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
    import numpy as np

    from models import evaluation, observations, training
    from models.interface import LEVELS

    sources = _read(cascades, background or [])
    shares = [1.0] * len(cascades) + [background_weight] * len(background or [])
    rng = np.random.default_rng(seed)
    parts: dict[str, list[training.Rows]] = {"train": [], "validation": []}
    with _progress() as progress:
        task = progress.add_task("observing", total=2 * len(sources))
        for _, split, end in sources:
            for part, rows in parts.items():
                seen = observations.observe(getattr(split, part), end, rng, ages, horizons)
                rows.append(training.rows_of(seen, recency if part == "train" else 0.0))
                progress.advance(task)
        task = progress.add_task("training", total=len(LEVELS) * rounds)

        def advance(level: float, trees: int) -> None:
            before = LEVELS.tolist().index(level) * rounds
            progress.update(
                task, completed=before + trees, description=f"training quantile {level}"
            )

        model, found = training.train(
            training.pool(parts["train"], shares),
            training.pool(parts["validation"], shares),
            seed=seed,
            rounds=rounds,
            leaves=leaves,
            learning_rate=learning_rate,
            threads=threads,
            on_round=advance,
        )
        progress.update(task, completed=len(LEVELS) * rounds, description="trained")
    told = {
        "background": [path.name for path in background or []],
        "background_weight": background_weight,
        "ages": ages,
        "horizons": horizons,
        "rounds": rounds,
        "leaves": leaves,
        "learning_rate": learning_rate,
        "recency": recency,
        "seed": seed,
        "rows": {part: sum(map(len, (r.targets for r in rows))) for part, rows in parts.items()},
    }
    model.version = version
    _publish(
        model,
        output,
        "Gradient boosting (LightGBM) on hand features: quantiles for any age and horizon.",
        sources,
        told | found,
        evaluation.by_window(model, {data.file: (split.test, end) for data, split, end in sources}),
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
    import numpy as np

    from models import evaluation, observations, seismic

    sources = _read(cascades, [])
    rng = np.random.default_rng(seed)
    seen: list[observations.Observations] = []
    grid = len(seismic.PLATEAUS) * len(seismic.EXPONENTS)
    with _progress() as progress:
        task = progress.add_task("observing", total=len(sources))
        for _, split, end in sources:
            seen.extend(observations.observe(split.train, end, rng, ages, horizons))
            progress.advance(task)
        task = progress.add_task("fitting", total=grid)
        constants = seismic.fit(seen, lambda: progress.advance(task))
    _publish(
        seismic.Seismic(constants, version),
        output,
        "SEISMIC (KDD 2015) in closed form: any age, any horizon, no audience sizes.",
        sources,
        {"ages": ages, "horizons": horizons, "seed": seed},
        evaluation.by_window(
            seismic.Seismic(constants, version),
            {data.file: (split.test, end) for data, split, end in sources},
        ),
    )


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


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _read(
    cascades: Sequence[Path], background: Sequence[Path]
) -> list[tuple[DataSet, Split, float]]:
    """Each file's description, chronological parts, and end of recording."""
    from models.datasets import read_cascades, split_chronologically
    from models.observations import end_of
    from models.registry import DataSet, digest

    sources = []
    for path in [*cascades, *background]:
        read: list[Cascade] = list(read_cascades(path))
        if len(read) < 20:
            raise typer.BadParameter(
                f"{path}: got {len(read)} cascades; expected at least 20, to split and learn from"
            )
        data = DataSet(path.name, digest(path), len(read), sum(map(len, read)))
        sources.append((data, split_chronologically(read), end_of(read)))
    return sources


def _publish(
    model: Any,
    output: Path,
    description: str,
    sources: Sequence[tuple[DataSet, Split, float]],
    told: dict[str, Any],
    metrics: dict[str, Any],
) -> None:
    from models import registry

    folder = output / model.name / model.version
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder)
    registry.write_card(
        folder,
        registry.ModelCard(
            name=model.name,
            version=model.version,
            kind=type(model).__name__,
            description=description,
            created=datetime.now(UTC).date().isoformat(),
            command=_command(),
            data=[data for data, _, _ in sources],
            training=told,
            metrics=metrics,
            files={},
        ),
    )
    console.print(f"{model.name} {model.version} written to {folder}")


def _command() -> str:
    """The command line as it was typed, with files by their names and without the output."""
    words = [Path(word).name if Path(word).is_file() else word for word in sys.argv[1:]]
    words = [word for word in words if not word.startswith("--output=")]
    if "--output" in words:
        at = words.index("--output")
        del words[at : at + 2]
    return " ".join(["tidecast", *words])
