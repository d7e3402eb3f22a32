"""`tidecast contract`: the documents of the topics, written or checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

console = Console(stderr=True, soft_wrap=True, highlight=False)


def contract(
    output: Annotated[
        Path, typer.Option(help="Folder of the documents: asyncapi.json and schemas/.")
    ] = Path("docs/contract"),
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Write nothing; fail if the documents are not what the code says now, or if "
            "the code breaks who writes or reads by them.",
        ),
    ] = False,
    allow_breaking: Annotated[
        bool,
        typer.Option(
            "--allow-breaking",
            help="Write the documents though they break who relies on those that are there. "
            "For topics that nobody uses yet.",
        ),
    ] = False,
) -> None:
    """Writes the contract of the topics: an AsyncAPI 3 document and a JSON Schema a record.

    Refuses to write over documents whose readers or writers the change would break: a field or
    a topic that is gone, another type or key, a new required field, a tighter bound.
    """
    from stream.settings import Settings
    from topics import compatibility
    from topics import contract as contracts

    generated = contracts.documents(Settings().partitions)
    try:
        if not allow_breaking:
            compatibility.check(contracts.read(output), generated)
    except ValueError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error
    stale = contracts.stale(output, generated)
    if check and stale:
        console.print(
            f"{output}: out of date: {', '.join(stale)}; write them with `tidecast contract`",
            style="red",
            markup=False,
        )
        raise typer.Exit(1)
    if stale:
        contracts.write(output, generated)
    state = f"{len(stale)} written" if stale else "all as the code says"
    console.print(
        f"{output}: {len(generated)} documents, {state}; contract {contracts.digest(generated)}"
    )
