"""Does the 90 % interval hold 90 % when the world changes half-way, and how do forecasts err?

    python benchmarks/calibration.py ../shared/data/cascades/twitter1516.txt.xz \
        [--drift thin] [--stream] [--json FILE]

Replays recorded cascades in order of time. Those published in the later half of them are made to
spread otherwise than the model has learnt: `thin` keeps a quarter of what comes after half an hour,
`fast` has everything come in a quarter of the time, `slow` in four times it, `none` leaves them.

Without `--stream` the parts of the roles work hand in hand in one process: each forecast knows of
all outcomes before it, as in a deployment whose cascades live for much longer than a message is on
its way, and every run gives the same. With it the file goes through `tidecast up` on a broker of
its own, as fast as the roles keep up, and the scores are read from `forecast.scores`: there months
go by in a minute, and corrections come late by seconds, which are days.

Printed are, of the cascades before and after the change, for what is served (the setting
`forecaster`) and what is tried beside it (`shadows`): scores, MSLE, MAPE and bias of
log2(1 + increment), MSLE of the points and coverage of the intervals as the model itself had them
(`own`), by horizon and in all; and the lowest and highest coverage of any twentieth of the scores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from models import registry
from models.cascades.batch import Batch
from models.data.cascades import read_cascades
from models.data.datasets import Cascade
from models.interface import Forecaster, Increments
from stream.forecaster.answers import Answers, Call
from stream.forecaster.corrections import Corrections
from stream.forecaster.snapshots import Asked
from stream.kafka.broker import create_topics_now
from stream.kafka.past import END, reread_here
from stream.local.embedded import embedded
from stream.scorer.calibrator import Calibration
from stream.scorer.join import ScoredPartition, awaited
from stream.scorer.quality import Figures, figures, kind_of, row_of
from stream.serving.cost import CallCost
from stream.serving.loading import Loaded
from stream.settings import Settings, load
from stream.sources.replay import CascadeReplay
from stream.tracker.store import CascadeStore
from stream.workers.agents import Received
from stream.workers.heartbeats import parted
from topics.catalogue import FORECAST_SCORES, SOCIAL_EVENTS
from topics.hashing import hash_ids
from topics.records import CascadeOutcome, CascadeSnapshot, ForecastScore

DRIFTS = ("thin", "fast", "slow", "none")
FASTER = 4.0
LATE = 1_800.0  # seconds
KEPT = 0.25
_CHUNK = 256


def line_of(cascade: Cascade, drift: str) -> str:
    """A line of a cascade file, of the cascade as it spreads under a drift."""
    seconds = cascade.delays * {"fast": 1 / FASTER, "slow": FASTER}.get(drift, 1.0)
    kept = np.ones(len(seconds), bool)
    if drift == "thin":
        # By a hash, so that it is the same each time.
        names = [f"{cascade.cascade_id}/{at}" for at in range(len(seconds))]
        kept = (seconds <= LATE) | (hash_ids(names) / 2.0**64 < KEPT)
    events = []
    for at in np.flatnonzero(kept).tolist():
        parent = cascade.parents[at]
        path = f"{cascade.users[parent]}/" if parent >= 0 else ""
        events.append(f"{path}{cascade.users[at]}:{seconds[at]:.3f}")
    head = (cascade.cascade_id, cascade.root_user, str(cascade.published_at), str(len(events)))
    return "\t".join((*head, " ".join(events)))


def change_half_way(file: Path, drift: str, folder: Path) -> tuple[Path, float]:
    """A copy of the file with the drift, and unix seconds of its beginning."""
    cascades = list(read_cascades(file))
    half = float(np.median([cascade.published_at for cascade in cascades]))
    target = folder / f"{file.name.split('.')[0]}.txt"
    with target.open("w", encoding="utf-8") as sink:
        for cascade in cascades:
            sink.write(line_of(cascade, drift if cascade.published_at >= half else "none") + "\n")
    return target, half


# ------------------------------------------------------------------ in one process


class Remembered(Forecaster):
    """What a model has answered to all snapshots, by their ids."""

    def __init__(
        self, model: Forecaster, snapshots: Sequence[CascadeSnapshot], horizons: NDArray[np.float64]
    ) -> None:
        self.name, self.version = model.name, model.version
        self._answers: dict[str, tuple[NDArray[np.float64], ...]] = {}
        chunks = range(0, len(snapshots), _CHUNK)
        for first in track(chunks, f"{model.name} answers", console=Console(stderr=True)):
            asked = snapshots[first : first + _CHUNK]
            made = model.forecast(asked, horizons)
            rows = zip(asked, made.quantiles, made.expected, made.log_mean, strict=True)
            self._answers.update((snapshot.snapshot_id, row) for snapshot, *row in rows)

    def forecast(
        self, snapshots: Sequence[CascadeSnapshot], horizons: NDArray[np.float64]
    ) -> Increments:
        rows = [self._answers[snapshot.snapshot_id] for snapshot in snapshots]
        return Increments(*(np.stack(column) for column in zip(*rows, strict=True)))

    def forecast_batch(self, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
        raise NotImplementedError("asked by snapshots only")


def tracked(file: Path, settings: Settings) -> Iterator[CascadeSnapshot | CascadeOutcome]:
    """What a tracker publishes of a file, in order."""
    store = CascadeStore(settings)
    for batch in CascadeReplay([file]):
        events = [SOCIAL_EVENTS.codec.decode(message.value) for message in batch]
        received = np.array([event.timestamp for event in events])
        yield from (fired.record for fired in store.ingest(events, received).fired)


def hand_in_hand(file: Path, settings: Settings) -> list[ForecastScore]:
    """The scores of a file, each forecast corrected by all outcomes before it."""
    records = list(tracked(file, settings))
    horizons = np.array(settings.horizons, np.float64)
    snapshots = [
        record
        for record in records
        if isinstance(record, CascadeSnapshot) and record.age < horizons[-1]
    ]
    models = [
        Loaded(Remembered(registry.load(name, root=settings.registry or None), snapshots, horizons),
               CallCost(), "")
        for name in (settings.forecaster, *settings.shadows)
    ]  # fmt: skip
    corrections, calibration = Corrections(horizons), Calibration(horizons)
    answers = Answers(settings, corrections)
    partition = ScoredPartition(settings.score_patience, settings.max_awaited)
    found: list[ForecastScore] = []
    nothing = Received("", 0, 0, 0, None, None)
    for record in track(records, "replaying", console=Console(stderr=True)):
        if isinstance(record, CascadeOutcome):
            scores = partition.take_outcome(record).scores
            partition.expire()
            for score in scores:
                cell = calibration.take(0, len(found), score)
                found.append(score)
                if cell is not None:
                    corrections.take(calibration.record(cell))
        elif record.age < horizons[-1]:
            call = Call([(0, Asked(nothing, record))], horizons, True)
            for number, loaded in enumerate(models):
                [forecast] = answers.answer(loaded, call)
                partition.take_forecast(awaited(forecast, shadow=number > 0))
    return found


# ------------------------------------------------------------------ through the topics


def through_the_topics(file: Path, settings: Settings) -> list[ForecastScore]:
    """The scores on `forecast.scores` after `tidecast up` on the file, each once."""
    with tempfile.TemporaryDirectory() as folder, embedded(Path(folder) / "broker") as (address, _):
        settings = settings.having(kafka=address)
        create_topics_now(settings)
        subprocess.run(
            [sys.executable, "-m", "stream", "up", "--kafka", address, "--cascades", file,
             "--logs", Path(folder) / "runs"],
            env={**os.environ, **settings.environment()}, stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        return asyncio.run(read_scores(settings))


async def read_scores(settings: Settings) -> list[ForecastScore]:
    found: dict[tuple[str, float], ForecastScore] = {}

    def take_in(records: Iterable[Any]) -> None:
        for record in parted(records)[0]:
            score = FORECAST_SCORES.codec.decode(record.value)
            found[score.forecast_id, score.horizon] = score

    for number in range(settings.partitions):
        await reread_here(settings, FORECAST_SCORES, number, 0, END, take_in)
    return list(found.values())


# ------------------------------------------------------------------ the report


def report(scores: Sequence[ForecastScore], half: float, horizons: Iterable[float]) -> list[dict]:
    """A row for each kind, half and horizon, and one for all horizons together."""
    rows: list[dict] = []
    kinds = sorted({kind_of(score) for score in scores}, key=lambda kind: (kind.kind, kind.model))
    for kind in kinds:
        for part in ("before", "after"):
            chosen = [
                score
                for score in scores
                if kind_of(score) == kind and (score.published_at < half) == (part == "before")
            ]
            for horizon in (*horizons, None):
                of = [score for score in chosen if horizon in (None, score.horizon)]
                if of:
                    rows.append(_row(of) | {
                        "model": f"{kind.model} {kind.version}", "kind": kind.kind, "part": part,
                        "horizon": "all" if horizon is None else f"{horizon / 3600:g} h",
                    })  # fmt: skip
    return rows


def _row(scores: Sequence[ForecastScore]) -> dict:
    table = np.array([row_of(score) for score in scores], np.float64)
    told: Figures = figures(table)
    order = np.argsort([s.published_at + s.age for s in scores], kind="stable")
    parts = [part.mean() for part in np.array_split(table[order, 2], 20) if part.size]
    return told._asdict() | {"lowest_twentieth": min(parts), "highest_twentieth": max(parts)}


def show(name: str, rows: Sequence[dict]) -> None:
    table = Table(title=name, box=None, title_justify="left")
    columns = ("model", "kind", "part", "horizon", "n", "msle", "own_msle", "mape_ratio",
               "bias_log2", "coverage_ratio", "own_coverage_ratio", "lowest_twentieth",
               "highest_twentieth")  # fmt: skip
    for column in columns:
        table.add_column(column.removesuffix("_ratio").replace("_", " "), justify="right")
    for row in rows:
        cells = (row[column] for column in columns)
        table.add_row(*(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells))
    Console(width=140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+", help="recorded cascades")
    parser.add_argument("--drift", choices=DRIFTS, default="thin", help="from half-way on")
    parser.add_argument("--stream", action="store_true", help="through the topics")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    settings = load()
    run = through_the_topics if arguments.stream else hand_in_hand
    told = {}
    for file in arguments.files:
        with tempfile.TemporaryDirectory() as folder:
            changed, half = change_half_way(file, arguments.drift, Path(folder))
            scores = run(changed, settings)
        told[file.name] = rows = report(scores, half, settings.horizons)
        show(f"{file.name}, drift: {arguments.drift}", rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
