"""How the neural forecasters are trained: their material, and the recipe that they share.

A network learns from the training part until the validation part says stop; its answers there
calibrate it; then it learns from both parts for a few epochs more and keeps that calibration.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from models.cascades.batch import gather
from models.cascades.observations import AGES, LATEST_GROWTH, observe
from models.cascades.recordings import Source
from models.cascades.replays import Replays
from models.data.datasets import Cascade, snapshot_at
from models.forecasters import casft, concat, mlp
from models.forecasters.boosting_training import Rows, pool, rows_of
from models.forecasters.calibration import calibrate, held_out
from models.forecasters.concat import Observed
from models.forecasters.networks.concat import Targets
from models.forecasters.neural import MLP, CasFT, ConCat, NeuralForecaster
from models.learning.checkpoint import Checkpoint
from models.learning.loop import Block, Schedule, train, train_again
from models.learning.recipes import Report, Trained, silent

RECENCY = 2.0
# Cascades whose observations are one step of the optimiser.
_BLOCK = 16
_HORIZONS = 2
# Ages drawn a cascade for a table, which is drawn once.
_TABLE_AGES = 32
_TABLE_HORIZONS = 4


class SequenceMaterial:
    """Blocks of observations of sequences."""

    def __init__(
        self,
        replays: Replays,
        structure: bool,
        parts: int = 1,
        ages: int = 16,
        horizons: int = _HORIZONS,
    ) -> None:
        """Args:
        replays: to draw from.
        structure: whether the network reads it: then fewer ages are drawn, each a replay.
        parts: of a trend.
        ages: drawn a cascade and epoch.
        horizons: drawn an observation.
        """
        self.replays = replays
        self.structure = structure
        self.parts = parts
        self.ages = ages // 4 if structure else ages
        self.horizons = horizons
        latest = max(AGES[1], LATEST_GROWTH)
        self._whole = [snapshot_at(cascade, latest) for cascade in replays.cascades]

    def __len__(self) -> int:
        """Blocks an epoch, at most."""
        return -(-len(self.replays) // _BLOCK)

    def blocks(self, rng: np.random.Generator) -> Iterator[Block]:
        """Blocks of observations, in an order that is drawn."""
        for chosen in self.replays.blocks(rng, _BLOCK):
            observed, targets = self.block(rng, chosen)
            # The latest cascades may have nothing left of the recording to ask for.
            if len(targets.weights):
                yield observed, targets

    def block(
        self, rng: np.random.Generator, chosen: NDArray[np.int64]
    ) -> tuple[Observed, Targets]:
        """Observations of the chosen cascades."""
        drawn = self.replays.draw(rng, chosen, self.ages, self.horizons, self.parts)
        rows = drawn.rows
        if self.structure:
            seen = [
                snapshot_at(self.replays.cascades[chosen[row]], age)
                for row, age in zip(rows, drawn.ages, strict=True)
            ]
            rows = np.arange(len(rows))
        else:
            seen = [self._whole[index] for index in chosen]
        observed = concat.observe(
            gather(seen), rows, drawn.ages, drawn.counts, drawn.horizons, self.structure
        )
        return observed, Targets(
            increments=torch.from_numpy(np.log2(1 + drawn.increments).astype(np.float32)),
            trend=torch.from_numpy(np.log2(1 + drawn.trend).astype(np.float32)),
            weights=torch.from_numpy((drawn.weights * self.ages).astype(np.float32)),
        )


class TableMaterial:
    """Blocks of observations' features, drawn once and shuffled every epoch."""

    size = 256

    def __init__(self, rows: Rows, horizons: int) -> None:
        """Args:
        rows: of observations with so many horizons each, one after the other.
        horizons: as above.
        """

        def grouped(values: NDArray[np.float64]) -> torch.Tensor:
            return torch.from_numpy(
                values.astype(np.float32).reshape(-1, horizons, *values.shape[1:])
            )

        self._table = grouped(rows.features).numpy()
        self._targets = grouped(rows.targets)
        self._weights = grouped(rows.weights / rows.weights.mean())[:, 0]

    def __len__(self) -> int:
        return -(-len(self._table) // self.size)

    def blocks(self, rng: np.random.Generator) -> Iterator[Block]:
        """Blocks of observations, in an order that is drawn."""
        order = rng.permutation(len(self._table))
        for begin in range(0, len(order), self.size):
            chosen = order[begin : begin + self.size]
            targets = self._targets[chosen]
            yield self._table[chosen], Targets(targets, targets[..., None], self._weights[chosen])


Part = Callable[[Source], Sequence[Cascade]]
# Makes the material of a part of the sources, with a recency and a seed.
Maker = Callable[[Part, Sequence[Source], float, int], Any]


def _sequences(structure: bool, parts: int) -> Maker:
    def make(part: Part, sources: Sequence[Source], recency: float, seed: int) -> SequenceMaterial:
        replays = Replays([(source, part(source)) for source in sources], recency)
        return SequenceMaterial(replays, structure, parts)

    return make


def _table(part: Part, sources: Sequence[Source], recency: float, seed: int) -> TableMaterial:
    rng = np.random.default_rng((seed, 3))
    rows = [
        rows_of(observe(part(source), source.end, rng, _TABLE_AGES, _TABLE_HORIZONS), recency)
        for source in sources
    ]
    pooled = pool(rows, [source.share for source in sources])
    return TableMaterial(pooled, _TABLE_HORIZONS)


def fit(
    forecaster: type[NeuralForecaster],
    config: Any,
    make: Maker,
    sources: Sequence[Source],
    schedule: Schedule,
    seed: int,
    report: Report,
) -> Trained:
    """Trains a network, calibrates it, and goes on with it on both parts.

    Args:
        forecaster: the kind.
        config: of its network.
        make: its material.
        sources: to learn from.
        schedule: of the training.
        seed: of all that is drawn.
        report: is told how it gets on.
    """
    torch.manual_seed(seed)
    network = forecaster.network_class()(config)
    training = make(lambda source: source.train, sources, RECENCY, seed)
    held = make(lambda source: source.validation, sources, 0.0, 1)
    network.fit_inputs(*next(training.blocks(np.random.default_rng(seed))))
    blocks = list(held.blocks(np.random.default_rng(1)))
    data = [(s.name, s.share, float(s.end), len(s.train), len(s.validation)) for s in sources]
    identity = [forecaster.name, config, asdict(schedule), seed, data, forecaster.reads()]
    found = train(network, training, blocks, schedule, seed, report, Checkpoint(identity))
    rehearsal = forecaster(copy.deepcopy(network).eval())
    rehearsal.calibration = calibrate(rehearsal, held_out(sources))
    both = make(lambda source: [*source.train, *source.validation], sources, RECENCY, seed)
    train_again(network, both, schedule, seed, report)
    told = {"network": config, "schedule": asdict(schedule), "calibration": rehearsal.calibration}
    return Trained(
        forecaster(network, rehearsal.calibration),
        msgspec.to_builtins(told) | {"found": found},
        rehearsal,
    )


def _schedule(epochs: int) -> Schedule:
    """Of a sequence model: a quarter as long on both parts, what is latest being worth the most."""
    return Schedule(epochs=epochs, patience=8, again=max(1, epochs // 4))


def train_concat(
    sources: Sequence[Source],
    *,
    seed: int,
    report: Report = silent,
    components: Sequence[str] = (),
    flow: str = "affine",
    members: int = 4,
    epochs: int = 40,
) -> Trained:
    """ConCat.

    Args:
        sources: to learn from.
        seed: of all that is drawn.
        report: is told how it gets on.
        components: of `concat.COMPONENTS`.
        flow: of `concat.FLOWS`.
        members: networks side by side.
        epochs: at most.
    """
    config = concat.Config(components=tuple(components), flow=flow, members=members)
    make = _sequences("structure" in components, 1)
    return fit(ConCat, config, make, sources, _schedule(epochs), seed, report)


def train_casft(
    sources: Sequence[Source],
    *,
    seed: int,
    report: Report = silent,
    components: Sequence[str] = ("likelihood",),
    trend: str = "diffusion",
    members: int = 2,
    epochs: int = 40,
) -> Trained:
    """CasFT; `trend` is one of `casft.TRENDS`, the others as for ConCat."""
    base = concat.Config(components=tuple(components), members=members)
    config = casft.Config(base=base, trend=trend)
    make = _sequences("structure" in components, config.parts)
    return fit(CasFT, config, make, sources, _schedule(epochs), seed, report)


def train_mlp(
    sources: Sequence[Source],
    *,
    seed: int,
    report: Report = silent,
    members: int = 4,
    epochs: int = 16,
) -> Trained:
    """The perceptron on hand features."""
    schedule = Schedule(epochs=epochs, rate=2e-3, averaged=1.0, again=max(1, epochs // 8))
    return fit(MLP, mlp.Config(members=members), _table, sources, schedule, seed, report)
