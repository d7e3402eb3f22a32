"""Forecasts a second of each model, and the time that the parts of the served one take."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from parts.inference_timing import KINDS, Call, Report, least_seconds, made_up
from rich.console import Console

from models import registry
from models.cascades import sequences
from models.cascades.batch import Batch, gather
from models.cascades.features import features_of
from models.forecasters import casft, concat, mlp
from models.forecasters.boosting import Boosting
from models.forecasters.concat import CompiledFront
from models.forecasters.jump_ode.states import states_at
from models.forecasters.networks.concat import Targets
from models.forecasters.neural import MLP, CasFT, ConCat, NeuralForecaster
from models.forecasters.served import Member, Served
from models.interface import Forecaster
from models.kernels import trees
from topics.records import CascadeSnapshot

HORIZONS = np.array([3_600.0, 14_400.0, 86_400.0, 172_800.0])
SNAPSHOTS = 512
BATCHES = (1, 16, 64, 256)
SECONDS = 0.3  # of a round of one model, kind and batch
SERVED_GOAL = 2_000  # forecasts a second on two threads, at the batches of a busy stream
GOAL_BATCHES = (64, 256)
CLOCKS = {
    "wall": "by the wall clock",
    "cpu": "by the thread's clock",
    "two_threads": "two threads, by the wall clock",
}


_Config = concat.Config
UNTRAINED: dict[str, tuple[type[NeuralForecaster], Any]] = {
    "mlp": (MLP, mlp.Config()),
    "concat": (ConCat, _Config()),
    **{f"concat+{part}": (ConCat, _Config(components=(part,))) for part in concat.COMPONENTS},
    "concat-full": (ConCat, _Config(components=concat.COMPONENTS)),
    "concat-neural-flow": (ConCat, _Config(flow="neural")),
    "casft": (CasFT, casft.Config()),
    "casft-regression": (
        CasFT,
        casft.Config(base=_Config(components=("encoder",)), trend="regression"),
    ),
}
# Of the mixture, where the registry has none.
SERVED = ("mlp", "casft-regression")


def models_of(root: Path | None, console: Console) -> dict[str, Forecaster]:
    """The models of the registry, and untrained the neural ones that it lacks."""
    found: dict[str, Forecaster] = {}
    for name in registry.list_forecasters(root):
        try:
            found[name] = registry.load(name, root=root)
        except registry.RegistryError as error:
            console.print(f"left out: {error}", style="yellow")
    batch = gather(made_up("even", 64))
    horizons = np.tile(HORIZONS, (64, 1))
    for name, (kind, config) in UNTRAINED.items():
        if name not in found:
            model = kind(kind.network_class()(config).eval())
            # Scales as those of a trained one, or most of what the head reads would be 0.
            parts = getattr(config, "parts", 1)
            nothing = torch.zeros(64, len(HORIZONS), parts)
            targets = Targets(nothing[..., 0], nothing, torch.ones(64))
            model.network.fit_inputs(model.observe(batch, horizons), targets)
            found[name] = model
    if "served" not in found:
        members = [found[name] for name in SERVED if name in found]
        found["served"] = Served([Member(member, 1 / len(members)) for member in members])
    return found


# ------------------------------------------------------------------ forecasts


def measure_forecasts(models: dict[str, Forecaster], rounds: int, console: Console) -> Report:
    """Forecasts a second of each model, kind of snapshots and batch."""
    report: Report = {name: {} for name in models}
    with ThreadPoolExecutor(2) as pool:
        for kind in KINDS:
            snapshots = made_up(kind, SNAPSHOTS)
            for name, model in models.items():
                with console.status(f"forecasts: {name}, {kind}"):
                    report[name][kind] = {
                        str(batch): _rates(model, snapshots, batch, rounds, pool)
                        for batch in BATCHES
                    }
    return report


def _rates(
    model: Forecaster,
    snapshots: Sequence[CascadeSnapshot],
    batch: int,
    rounds: int,
    pool: ThreadPoolExecutor,
) -> Report:
    batches = [snapshots[at : at + batch] for at in range(0, len(snapshots), batch)]
    model.forecast(batches[0], HORIZONS)
    # A forecaster is called from one thread at a time: each has a copy, and batches of its own.
    pair = [(model, batches[::2]), (copy.deepcopy(model), batches[1::2])]
    wall, cpu, two = [], [], []
    for _ in range(rounds):
        done, seconds, cpu_seconds = _run(model, batches)
        wall.append(done / seconds)
        cpu.append(done / cpu_seconds)
        side_by_side = [pool.submit(_run, *one) for one in pair]
        two.append(sum(run.result()[0] / run.result()[1] for run in side_by_side))
    return {"wall": max(wall), "cpu": max(cpu), "two_threads": max(two)}


def _run(
    model: Forecaster, batches: Sequence[Sequence[CascadeSnapshot]]
) -> tuple[int, float, float]:
    """Goes through the batches for a while: snapshots done, seconds, and the thread's seconds."""
    began, began_cpu, done = time.perf_counter(), time.thread_time(), 0
    while True:
        for one in batches:
            model.forecast(one, HORIZONS)
            done += len(one)
            # A batch of the even kind is not like another: at least all of them, or many.
            seconds = time.perf_counter() - began
            if seconds > SECONDS and (len(batches) > 8 or one is batches[-1]):
                return done, seconds, time.thread_time() - began_cpu


# ------------------------------------------------------------------ parts

PARTS_BATCH = 64


def measure_parts(served: Served, rounds: int) -> Report:
    """Microseconds of thread time a forecast, by part of the served model."""
    report: Report = {}
    for kind in KINDS:
        snapshots = made_up(kind, PARTS_BATCH)
        calls = dict(_parts(served, snapshots))
        report[kind] = {
            name: 1e6 * least_seconds(call, rounds) / PARTS_BATCH for name, call in calls.items()
        }
    return report


def _parts(served: Served, snapshots: Sequence[CascadeSnapshot]) -> Iterator[tuple[str, Call]]:
    batch = gather(snapshots)
    horizons = np.tile(HORIZONS, (len(snapshots), 1))
    rows = features_of(batch, horizons)
    yield "whole", lambda: served.forecast(snapshots, HORIZONS)
    yield "gather", lambda: gather(snapshots)
    yield "features", lambda: features_of(batch, horizons)
    for model, _ in served.members:
        if isinstance(model, Boosting):
            flat = rows.reshape(-1, rows.shape[-1])
            yield "boosting: trees", partial(trees.predict, model.trees, flat)
        elif isinstance(model, MLP):
            read = rows.astype(np.float32)
            yield "mlp: head", partial(model.network.predict, read)
        elif isinstance(model, ConCat | CasFT):
            yield from _sequence_parts(model.name, model, batch, horizons)
    if served.fallback is not None:
        yield "strangeness", partial(served.fallback.familiarity.strangeness, rows)


def _sequence_parts(
    name: str, model: NeuralForecaster, batch: Batch, horizons: NDArray[np.float64]
) -> Iterator[tuple[str, Call]]:
    observed = model.observe(batch, horizons)
    front: CompiledFront = model.network._front
    inputs = front.inputs(observed)
    encode = partial(front.encoded, inputs, observed)
    jumps = inputs, encode(), observed.clock, observed.offsets
    states = partial(states_at, observed.jump, observed.until, *jumps, front.jump)
    yield f"{name}: sequences", lambda: sequences.sequences_of(batch)
    yield f"{name}: observations, with sequences", lambda: model.observe(batch, horizons)
    if encode().shape[2]:
        yield f"{name}: encoder", encode
    yield f"{name}: scan, with projection", states
    beside = None
    if isinstance(model, CasFT):
        trends = partial(model.network.trends_ahead, states(), observed)
        yield f"{name}: flow to the horizon, and trend", trends
        beside = trends()
    yield f"{name}: head", partial(front.answer, states(), observed, beside)
