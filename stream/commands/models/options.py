"""Options that the evaluations have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SeedOption = Annotated[int, typer.Option(help="The first of them; the others count up.")]
RegistryOption = Annotated[
    Path | None, typer.Option(help="Registry for --pretrained. Default: the models that ship.")
]
JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the figures to this file as they come.")
]
PlotOption = Annotated[
    Path | None,
    typer.Option(help="Write the picture (PNG) here. Default: beside the JSON, if there is one."),
]
