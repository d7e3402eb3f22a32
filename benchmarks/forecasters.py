"""How many forecasts a second each model makes, features included, on one thread.

    python benchmarks/forecasters.py [--json FILE]

Snapshots are of made-up cascades of 10 to 2,000 events, each forecast at four horizons. A rate is
the best of five rounds over all snapshots; `cpu` is by the thread's own clock, which other work on
the machine does not slow.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from models import registry
from models.datasets import ROOT, Cascade, snapshot_at
from models.interface import Forecaster
from topics.records import CascadeSnapshot

HORIZONS = np.array([3_600.0, 14_400.0, 86_400.0, 172_800.0])
AGE = 1_800.0
SNAPSHOTS = 1_024
ROUNDS = 5


def made_up(count: int) -> list[CascadeSnapshot]:
    """Snapshots of cascades whose sizes are log-uniform."""
    rng = np.random.default_rng(0)
    snapshots = []
    for number in range(count):
        events = int(np.exp(rng.uniform(np.log(10), np.log(2_000))))
        delays = np.append(0.0, np.sort(AGE * rng.random(events - 1) ** 2))
        parents = np.array([ROOT] + [rng.integers(0, i) for i in range(1, events)], np.int32)
        users = [str(user) for user in range(events)]
        cascade = Cascade(str(number), "0", 1.5e9 + 60 * number, users, parents, delays)
        snapshots.append(snapshot_at(cascade, AGE))
    return snapshots


def rates(model: Forecaster, snapshots: list[CascadeSnapshot], batch: int) -> dict[str, int]:
    """Forecasts a second at a batch size, by the wall clock and by the thread's."""
    wall, cpu = [], []
    for _ in range(ROUNDS):
        began, began_cpu = time.perf_counter(), time.thread_time()
        for start in range(0, len(snapshots), batch):
            model.forecast(snapshots[start : start + batch], HORIZONS)
        wall.append(time.perf_counter() - began)
        cpu.append(time.thread_time() - began_cpu)
    return {"wall": round(len(snapshots) / min(wall)), "cpu": round(len(snapshots) / min(cpu))}


def main() -> None:
    parser = argparse.ArgumentParser(description="Forecasts a second of each model.")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    snapshots = made_up(SNAPSHOTS)
    results: dict[str, dict[str, dict[str, int]]] = {}
    for name in registry.list_names():
        model = registry.load(name)
        model.forecast(snapshots[:1], HORIZONS)
        results[f"{model.name} {model.version}"] = {
            f"batch {batch}": rates(model, snapshots, batch) for batch in (1, 16, 256)
        }
    text = json.dumps(results, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
