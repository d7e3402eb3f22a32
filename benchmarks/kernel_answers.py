"""Compiled kernels against PyTorch on recorded cascades and requests: how far their answers differ.

    python benchmarks/kernel_answers.py --cascades FILE ... --requests FILE ... [--first N]

Of each network that ships: the largest difference of log2(1 + increment), point or quantile, over
snapshots of all cascades at several ages; and of a ranker the largest difference of a log weight
over all steps of the requests. Ends with 1 where one differs by more than 1e-4 of its size.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from models import registry
from models.caches.model import CacheMamba, RankerModel
from models.caches.networks.ranker import TorchStepper
from models.caches.request_history import RequestHistory
from models.caches.workload import workload
from models.cascades.batch import Batch, gather
from models.data.cascades import read_cascades
from models.data.datasets import count_at, snapshot_at
from models.data.requests import read_requests
from models.forecasters.neural import CasFT, NeuralForecaster
from models.learning.weights import filled, single

AGES = (600.0, 3_600.0, 86_400.0)
HORIZONS = np.array([3_600.0, 14_400.0, 86_400.0, 172_800.0, 1_296_000.0])
BATCH = 256
MOST = 1e-4  # of 1 plus the answer's size
NETWORKS = ("mlp", "concat", "casft-regression")


def batches(paths: list[Path], first: int | None) -> Iterator[Batch]:
    """Snapshots of the first cascades of each file, at each of `AGES` at which there are events."""
    for path in paths:
        cascades = list(islice(read_cascades(path), first))
        for age in AGES:
            seen = [cascade for cascade in cascades if count_at(cascade, age)]
            for at in range(0, len(seen), BATCH):
                yield gather([snapshot_at(cascade, age) for cascade in seen[at : at + BATCH]])


def torch_of(model: NeuralForecaster) -> Any:
    """The PyTorch module of a model that was loaded to be served."""
    return filled(model.network_class()(model.network.config), single(model._weights or {}))


@torch.no_grad()
def answers_of(model: NeuralForecaster, network: Any, read: Any) -> NDArray[np.float64]:
    """Mean and quantiles by PyTorch alone, shape (n, horizons, 1 + levels)."""
    if isinstance(model, CasFT):
        condition, beside, _ = network.conditions(read)
        told = torch.cat([beside, network._mean_trend(condition)], -1)
        mean, quantiles = network.front.answer(told, torch.from_numpy(read.table))
    else:
        mean, quantiles, *_ = network(read)
    return torch.cat([mean.mean(0)[..., None], quantiles.mean(0)], -1).double().numpy()


def difference(got: NDArray[np.floating], expected: NDArray[np.floating]) -> float:
    """The largest, as a share of 1 plus what was expected."""
    return float(np.max(np.abs(got - expected) / (1 + np.abs(expected)), initial=0.0))


def forecasters(
    paths: list[Path], first: int | None, console: Console
) -> dict[str, dict[str, float]]:
    """Snapshots asked about, and the largest difference, by network."""
    models = {name: registry.load(name) for name in NETWORKS}
    found = {name: {"asked": 0, "difference": 0.0} for name in NETWORKS}
    networks = {name: torch_of(model) for name, model in models.items()}  # type: ignore[arg-type]
    for batch in track(batches(paths, first), "snapshots", console=console):
        horizons = np.tile(HORIZONS, (len(batch.ages), 1))
        horizons = np.maximum(horizons, batch.ages[:, None])
        for name, model in models.items():
            assert isinstance(model, NeuralForecaster)
            read = model.observe(batch, horizons)
            mean, quantiles = model.network.predict(read)
            got = np.concatenate([mean[..., None], quantiles], axis=-1)
            expected = answers_of(model, networks[name], read)
            worst = max(found[name]["difference"], difference(got, expected))
            found[name] = {"asked": found[name]["asked"] + len(got), "difference": worst}
    return found


def ranker(paths: list[Path], first: int | None, console: Console) -> dict[str, float]:
    """Steps of objects, and the largest difference of a log weight."""
    model: RankerModel = registry.load_ranker("cachemamba")
    network = filled(CacheMamba.untrained(model.config, 0), model.weights)
    steppers = model.stepper, TorchStepper(network)
    asked, worst = 0, 0.0
    for path in paths:
        requests = workload(read_requests(path), "unit").objects[:first]
        history = RequestHistory()
        known = int(requests.max()) + 1
        memories = [stepper.start(known) for stepper in steppers]
        every = model.config.every
        for at in track(range(0, len(requests) - every, every), path.name, console=console):
            history.record(np.asarray(requests[at : at + every]))
            objects, features, elapsed = history.step()
            said = []
            for stepper, memory in zip(steppers, memories, strict=True):
                weights, stepped = stepper.step(features, [m[objects] for m in memory], elapsed)
                for part, new in zip(memory, stepped, strict=True):
                    part[objects] = new
                said.append(weights)
            asked, worst = asked + len(objects), max(worst, difference(*said))
    return {"asked": asked, "difference": worst}


def main() -> int:
    """Prints what differs, and returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cascades", nargs="*", type=Path, default=[], metavar="FILE")
    parser.add_argument("--requests", nargs="*", type=Path, default=[], metavar="FILE")
    parser.add_argument("--first", type=int, metavar="N", help="cascades and requests of a file")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    told = parser.parse_args()
    console = Console(stderr=True)
    found: dict[str, dict[str, float]] = {}
    if told.cascades:
        found |= forecasters(told.cascades, told.first, console)
    if told.requests:
        found["cachemamba"] = ranker(told.requests, told.first, console)
    table = Table("network", "asked", "largest difference", title="kernels against PyTorch")
    for name, figures in found.items():
        table.add_row(name, f"{figures['asked']:,}", f"{figures['difference']:.1e}")
    Console().print(table)
    if told.json:
        told.json.write_text(json.dumps(found, indent=2) + "\n")
    return int(any(figures["difference"] > MOST for figures in found.values()))


if __name__ == "__main__":
    sys.exit(main())
