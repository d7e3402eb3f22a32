"""What inference costs: the flow between jumps, GraphWave, and forecasts of each model.

    python benchmarks/inference.py [--threads 1,2] [--rounds N] [--only PART ...] [--json FILE]

    flow        the jump ODE on 64 cascades of 100 events, width 64, one member, forward and forward
                with backward, for the affine flow and for one of a hidden layer:
                    compiled      the kernel, the affine flow in closed form
                    loop          the same by steps of plain PyTorch
                    runge_kutta   one Runge-Kutta step a gap
                    dopri5        torchdiffeq, one adaptive solve a gap for the whole batch
                    adjoint       the same, with the gradient by the adjoint: the yardstick
                Contenders take turns within a round. A ratio is the median of the ratios within a
                round. `difference` is the largest from the adaptive solution in double precision at
                a tolerance of 1e-7.
    graphwave   graphs of 100 events a second, against the definition (`graphwave_reference`)
    forecasts   forecasts a second of each model, features included, at four horizons; on one
                thread, by the wall clock and by the thread's own, and on two that call it side by
                side, by the wall clock. A model that the registry lacks is made untrained, since
                the cost does not depend on weights. Snapshots are of two kinds: `even`, sizes
                log-uniform from 10 to 2,000, and `live`, sizes as triggers come in a stream: half
                at 10 events, a quarter at 20, and so on.
    parts       microseconds a forecast that each part of the served model takes, at a batch of 64

Other work on the machine distorts the wall clock; ratios and thread time suffer the least.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from parts.inference_flow import GOAL_DIFFERENCE, GOALS, measure_flow
from parts.inference_models import (
    BATCHES,
    CLOCKS,
    GOAL_BATCHES,
    SERVED_GOAL,
    measure_forecasts,
    measure_parts,
    models_of,
)
from parts.inference_timing import KINDS, Call, Report, in_turns, snapshot_of
from rich.console import Console
from rich.table import Table

from models.cascades.graphwave import graphwave
from models.cascades.graphwave_reference import reference
from models.data.datasets import ROOT
from models.kernels import threads
from topics.records import CascadeSnapshot

GRAPHS, REFERENCE_GRAPHS = 64, 8


def measure_graphwave(rounds: int) -> Report:
    """Graphs a second, compiled and by the definition, and the ratio of the two."""
    rng = np.random.default_rng(0)
    shapes = {
        "trees": [[ROOT, *(rng.random(99) * np.arange(1, 100)).astype(int)] for _ in range(GRAPHS)],
        "stars": [[ROOT] + [0] * 99 for _ in range(GRAPHS)],
    }
    report: Report = {}
    for shape, graphs in shapes.items():
        snapshots = [snapshot_of(number, np.array(p), rng) for number, p in enumerate(graphs)]
        few = snapshots[:REFERENCE_GRAPHS]
        calls: dict[str, Call] = {
            "compiled": partial(graphwave, snapshots),
            "reference": partial(_each, reference, few),
        }
        seconds = in_turns(calls, rounds)
        pairs = zip(seconds["reference"], seconds["compiled"], strict=True)
        report[shape] = {
            "graphs_a_second": GRAPHS / median(seconds["compiled"]),
            "reference_graphs_a_second": REFERENCE_GRAPHS / median(seconds["reference"]),
            "ratio": median(r / c for r, c in pairs) * GRAPHS / REFERENCE_GRAPHS,
        }
    return report


def _each(function: Callable[[CascadeSnapshot], Any], snapshots: Sequence[CascadeSnapshot]) -> None:
    for snapshot in snapshots:
        function(snapshot)


# ------------------------------------------------------------------ the report


def _table(title: str, *columns: str) -> Table:
    table = Table("", *columns, title=title, box=None, header_style="bold", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def flow_table(contenders: Report, flow: str) -> Table:
    """Of one flow, a line for each contender, pass and count of threads."""
    table = _table(flow, "threads", "ms, median", "least", "× adjoint", "goal", "difference")
    for name, figures in contenders.items():
        difference = f"{figures['difference']:.1e}"
        for key, one in figures.items():
            if key == "difference":
                continue
            which, _, count = key.partition("_")
            table.add_row(
                f"{name}, {which}",
                count,
                f"{one['milliseconds']:.1f}",
                f"{one['least_milliseconds']:.1f}",
                f"{one['adjoint_ratio']:.1f}",
                f"≥ {GOALS[name, which]:g}" if (name, which) in GOALS else "",
                difference,
            )
            difference = ""
    return table


def too_far(report: Report) -> list[str]:
    """The solutions that are not those of the adaptive solver."""
    return [
        f"{flow}, {name}: off by {figures['difference']:.2e}; expected below {GOAL_DIFFERENCE:g}"
        for flow, contenders in report.items()
        for name, figures in contenders.items()
        if not figures["difference"] < GOAL_DIFFERENCE
    ]


def tables_of(report: Report) -> Iterator[Table]:
    """The report for a person."""
    for flow, contenders in report.get("flow", {}).items():
        yield flow_table(contenders, flow)
    if "graphwave" in report:
        table = _table("graphwave: graphs a second", "compiled", "definition", "ratio")
        for shape, figures in report["graphwave"].items():
            table.add_row(shape, *(f"{figure:,.0f}" for figure in figures.values()))
        yield table
    for kind in KINDS if "forecasts" in report else ():
        for clock, title in CLOCKS.items():
            table = _table(f"forecasts a second, {kind} sizes, {title}", *map(str, BATCHES))
            for name, kinds in report["forecasts"].items():
                rates = (kinds[kind][str(batch)][clock] for batch in BATCHES)
                table.add_row(name, *(f"{rate:,.0f}" for rate in rates))
            yield table
    if "parts" in report:
        table = _table("parts of the served model: microseconds a forecast", *report["parts"])
        for name in report["parts"]["even"]:
            table.add_row(name, *(f"{kind[name]:.1f}" for kind in report["parts"].values()))
        yield table


def missed(report: Report) -> Iterator[str]:
    """What does not reach its goal."""
    for flow, contenders in report.get("flow", {}).items():
        for (name, which), goal in GOALS.items():
            for key, figures in contenders.get(name, {}).items():
                if key.startswith(which) and figures["adjoint_ratio"] < goal:
                    yield f"{flow}, {name}, {key}: {figures['adjoint_ratio']:.3g}, goal ≥ {goal:g}"
    for kind, batches in report.get("forecasts", {}).get("served", {}).items():
        for batch in GOAL_BATCHES:
            rate = batches[str(batch)]["two_threads"]
            if rate < SERVED_GOAL:
                told = f"served, {kind}, batch {batch}, two threads"
                yield f"{told}: {rate:,.0f}, goal ≥ {SERVED_GOAL:,}"


PARTS = ("flow", "graphwave", "forecasts", "parts")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", default="1,2", help="of PyTorch and the kernel, for the flow")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--models", nargs="+", metavar="MODEL", help="only these")
    parser.add_argument("--registry", type=Path, help="the one that ships, by default")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    arguments.threads = [int(count) for count in arguments.threads.split(",")]
    return arguments


def main() -> None:
    arguments = parse_arguments()
    console = Console(stderr=True)
    torch.set_num_threads(1)
    threads.limit(1)
    report: Report = {}
    if "flow" in arguments.only:
        with console.status("flow"):
            report["flow"] = measure_flow(arguments.threads, arguments.rounds)
    if "graphwave" in arguments.only:
        with console.status("graphwave"):
            report["graphwave"] = measure_graphwave(arguments.rounds)
    if {"forecasts", "parts"} & set(arguments.only):
        models = models_of(arguments.registry, console)
        if "forecasts" in arguments.only:
            chosen = {name: models[name] for name in arguments.models or models}
            report["forecasts"] = measure_forecasts(chosen, arguments.rounds, console)
        if "parts" in arguments.only:
            report["parts"] = measure_parts(models["served"], arguments.rounds)
    text = json.dumps(report, indent=2)
    print(text, flush=True)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    for table in tables_of(report):
        console.print(table, "")
    for miss in missed(report):
        console.print(f"goal missed: {miss}", style="yellow")
    wrong = too_far(report.get("flow", {}))
    for solution in wrong:
        console.print(f"NOT THE ADAPTIVE SOLUTION: {solution}", style="bold red")
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
