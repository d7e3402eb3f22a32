"""`tidecast train cachemamba`: makes a version of the ranker from recorded requests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.commands import checks
from stream.commands.models.report import Bars, command_line
from stream.commands.models.train import (
    OutputOption,
    ResumeOption,
    SeedOption,
    ThreadsOption,
    VersionOption,
    console,
)

if TYPE_CHECKING:
    from models.caches.model import RankerModel
    from models.caches.workload import Workload

_SIZES = (0.01, 0.05, 0.1)  # of caches, for the card


def train_cachemamba(
    requests: Annotated[
        list[Path],
        typer.Option(
            "--requests",
            help="File of one edge's recorded requests (plain, .gz, .bz2 or .xz); may be repeated.",
        ),
    ],
    output: OutputOption = Path("runs/models"),
    version: VersionOption = "1",
    first: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=1,
            help="Share of each file that is learnt from, from its start. The rest is only tested "
            "on, for the model's card.",
        ),
    ] = 0.5,
    every: Annotated[
        int,
        typer.Option(
            min=1, help="Requests of an edge after which those objects are stepped that had some."
        ),
    ] = 200,
    epochs: Annotated[
        int, typer.Option(min=1, help="At most; the later part of what is learnt from stops it.")
    ] = 24,
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
    resume: ResumeOption = True,
) -> None:
    """Trains CacheMamba, which tells rankers how to weigh the decayed counts of objects.

    Of what is learnt from, the earlier three quarters train and the rest validates; then both do.
    A model serves edges of any size; files of several kinds of traffic make it serve more of them.
    """
    checks.readable(*requests)
    checks.new_version(output, ["cachemamba"], version)

    import torch

    from models import registry
    from models.caches.stepper import Config
    from models.caches.training import SCHEDULE, train_ranker
    from models.caches.workload import workload
    from models.data.requests import read_requests
    from models.files import DataSet, digest
    from models.kernels.threads import limit
    from models.learning.checkpoint import checkpoints

    torch.set_num_threads(threads)
    limit(threads)
    workloads = [workload(read_requests(path), "unit") for path in requests]
    learnt = [work.first(max(1, int(first * len(work)))) for work in workloads]
    with checkpoints(output / ".unfinished", resume), Bars(console) as report:
        model, found = train_ranker(
            "cachemamba",
            [work.objects for work in learnt],
            seed,
            Config(every=every),
            schedule=replace(SCHEDULE, epochs=epochs),
            report=report,
        )
    model.version = version
    names = [path.name for path in requests]
    metrics = {
        name: _measure(model, work, len(part))
        for name, work, part in zip(names, workloads, learnt, strict=True)
        if len(part) < len(work)
    }
    data = [
        DataSet(path.name, digest(path), requests=len(part))
        for path, part in zip(requests, learnt, strict=True)
    ]
    folder = registry.write(
        model,
        output,
        description="A selective state space that weighs each object's decayed counts.",
        command=command_line(),
        data=data,
        training={"seed": seed, "first": first, "every": every} | found,
        metrics=metrics,
    )
    console.print(f"{model.name} {model.version} written to {folder}")


def _measure(model: RankerModel, work: Workload, test: int) -> dict[str, Any]:
    """Hit ratios on the requests that were not learnt from, beside those without the network."""
    from models.judging import cache_policies

    policies = {"hit_ratio": cache_policies.neural(model), "decayed": cache_policies.DECAYED}
    return {
        f"{size:.0%} of the objects": {
            name: round(float(policy.replay(work, work.capacity(size))[test:].mean()), 4)
            for name, policy in policies.items()
        }
        for size in _SIZES
    }
