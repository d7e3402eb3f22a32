"""Are the forecasts in the topic as good as those of the offline evaluation?

    python benchmarks/stream_accuracy.py ../shared/data/cascades/twitter1516.txt.xz \
        --observe 1h --horizon 24h --observe 1d --horizon 15d [--json FILE]

Replays the file through `tidecast up` on a broker of its own, reads `popularity.forecasts`, and
takes for each test cascade (the latest 15 %) the forecast that its snapshot at the age got. Beside
it stands the same model's forecast of the snapshot that the file gives. Both are held against what
came, as is the forecast in the topic before the corrections that the stream had learnt from
outcomes by then. What differs between the model's own answers is told by cause: a cascade without
a forecast at that age, a snapshot with another count, and the rest. A replay prefixes users by the
file's name, so that their 32-bit hashes are others than the file's: where two users of one cascade
collide in one of them, a feature moves.

The model is the one that the settings name (TIDECAST_FORECASTER).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer
from rich.console import Console
from rich.table import Table

from models import registry
from models.cascades.observations import end_of
from models.cascades.windows import Window, eligible
from models.data.cascades import read_cascades
from models.data.datasets import Cascade, increment, snapshot_at, split_chronologically
from models.judging.metrics import msle
from stream.kafka.broker import create_topics_now
from stream.local.embedded import embedded
from stream.scorer.join import awaited
from stream.settings import Duration, Settings, load
from stream.sources.replay import stem
from stream.workers.heartbeats import parted
from topics.catalogue import POPULARITY_FORECASTS
from topics.records import PopularityForecast

Forecasts = dict[tuple[str, float], PopularityForecast]


async def read_forecasts(kafka: str) -> Forecasts:
    """The forecasts at set ages, by cascade and age, of a topic that nobody writes to any more."""
    found: Forecasts = {}
    consumer = AIOKafkaConsumer(
        POPULARITY_FORECASTS.name, bootstrap_servers=kafka, auto_offset_reset="earliest"
    )
    async with consumer:
        partitions = sorted(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in parted(records)[0]:
                    forecast = POPULARITY_FORECASTS.codec.decode(record.value)
                    if "@a" in forecast.forecast_id:
                        found[forecast.cascade_id, forecast.age] = forecast
    return found


def replay(file: Path, settings: Settings) -> None:
    """`tidecast up` on the file, with the settings."""
    tidecast = Path(sys.executable).parent / "tidecast"
    with tempfile.TemporaryDirectory() as logs:
        subprocess.run(
            [tidecast, "up", "--kafka", settings.kafka, "--cascades", file, "--logs", logs],
            env={**os.environ, **settings.environment()},
            stdout=subprocess.DEVNULL,
            check=True,
        )


def compare(
    cascades: Sequence[Cascade], window: Window, prefix: str, live: Forecasts, settings: Settings
) -> dict[str, Any]:
    """The figures of one window."""
    model = registry.load(settings.forecaster, root=settings.registry or None)
    snapshots = [snapshot_at(cascade, window.observed, settings.max_events) for cascade in cascades]
    offline = model.forecast(snapshots, np.array(settings.horizons, np.float64))
    at = list(settings.horizons).index(window.horizon)
    points: dict[str, list[float]] = {"offline": [], "own": [], "topic": []}
    realised: list[int] = []
    missing = recounted = 0
    largest = 0.0
    for row, cascade in enumerate(cascades):
        forecast = live.get((f"{prefix}/{cascade.cascade_id}", window.observed))
        if forecast is None:
            missing += 1
            continue
        [asked] = [
            h for h in awaited(forecast, shadow=False).horizons if h.horizon == window.horizon
        ]
        assert asked.own_predicted is not None
        own = asked.own_predicted - forecast.observed_count
        expected = float(np.exp2(offline.log_mean[row, at]) - 1)
        points["topic"].append(asked.predicted - forecast.observed_count)
        points["own"].append(own)
        points["offline"].append(expected)
        realised.append(increment(cascade, *window))
        if forecast.observed_count != snapshots[row].observed_count:
            recounted += 1
        else:
            largest = max(largest, abs(np.log2(1 + own) - np.log2(1 + expected)))
    return {
        "window": str(window),
        "n": len(realised),
        "msle_offline": msle(points["offline"], realised),
        "msle_topic": msle(points["topic"], realised),
        "msle_topic_before_correction": msle(points["own"], realised),
        "without_forecast": missing,
        "other_count": recounted,
        "largest_own_difference_at_equal_count": largest,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="recorded cascades")
    parser.add_argument("--observe", action="append", required=True, help="such as 1h")
    parser.add_argument("--horizon", action="append", required=True, help="such as 24h")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    windows = [
        Window(Duration.parse(observed), Duration.parse(horizon))
        for observed, horizon in zip(arguments.observe, arguments.horizon, strict=True)
    ]
    cascades = list(read_cascades(arguments.file))
    test, end = split_chronologically(cascades).test, end_of(cascades)
    settings = load()
    horizons = sorted({*settings.horizons, *(Duration(w.horizon) for w in windows)})
    settings = settings.having(horizons=tuple(horizons))
    with tempfile.TemporaryDirectory() as folder, embedded(Path(folder)) as (address, _):
        settings = settings.having(kafka=address)
        create_topics_now(settings)
        replay(arguments.file, settings)
        live = asyncio.run(read_forecasts(address))
    figures = [
        compare(eligible(test, window, end), window, stem(arguments.file), live, settings)
        for window in windows
    ]
    table = Table(box=None)
    for column in figures[0]:
        table.add_column(column.replace("_", " "), justify="right")
    for row in figures:
        table.add_row(*(f"{v:.4f}" if isinstance(v, float) else str(v) for v in row.values()))
    Console(width=140).print(table)
    text = json.dumps({"model": settings.forecaster, "windows": figures}, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
