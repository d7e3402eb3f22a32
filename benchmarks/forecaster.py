"""Measures the forecaster as a process: its start, its rate and how long a forecast takes.

    python benchmarks/forecaster.py [--snapshots 20000] [--rate 500] [--events 100] [--json FILE]

Three figures, on an embedded broker of its own:

    start_seconds       from the process's start to its first forecast
    forecasts_a_second  from the first forecast of a backlog of snapshots to its last
    latency_seconds     p50 and p99 from snapshot to forecast, at `--rate` snapshots a second

The model is the one that the settings name (TIDECAST_FORECASTER).
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from rich.progress import Progress

from stream.kafka.broker import create_topics
from stream.kafka.pacing import pace_fetches
from stream.local.embedded import embedded
from stream.processes.roles import RoleProcess
from stream.settings import Settings, load
from topics.catalogue import CASCADE_SNAPSHOTS, POPULARITY_FORECASTS
from topics.records import CascadeSnapshot

STALLED_SECONDS = 60


def snapshot(number: int, events: int, generator: np.random.Generator) -> bytes:
    """An encoded snapshot of a cascade of so many events within its first hour."""
    delay = np.sort(generator.uniform(0, 3600, events).astype("<f4"))
    delay[0] = 0
    parent = (generator.random(events) * np.arange(events)).astype("<i4")
    parent[0] = -1
    depth = np.zeros(events, "<i4")
    for event in range(1, events):
        depth[event] = depth[parent[event]] + 1
    return CASCADE_SNAPSHOTS.codec.encode(
        CascadeSnapshot(
            snapshot_id=f"c{number}@a3600",
            cascade_id=f"c{number}",
            trigger="a3600",
            published_at=1_700_000_000.0,
            age=3600.0,
            observed_count=events,
            rooted=True,
            delay=delay.tobytes(),
            parent=parent.tobytes(),
            depth=depth.tobytes(),
            user=np.arange(events, dtype="<i4").tobytes(),
        )
    )


async def send(settings: Settings, values: list[bytes], first: int, rate: float) -> None:
    """Publishes snapshots, so many a second; a rate of 0 is as fast as it goes."""
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
        started = time.monotonic()
        for number, value in enumerate(values):
            if rate:
                await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
            key = f"c{first + number}".encode()
            await producer.send(CASCADE_SNAPSHOTS.name, value, key=key)
        await producer.flush()


@asynccontextmanager
async def reader(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    """Reads the forecasts from their beginning."""
    consumer = AIOKafkaConsumer(
        POPULARITY_FORECASTS.name, bootstrap_servers=settings.kafka,
        auto_offset_reset="earliest", fetch_max_wait_ms=100,
    )  # fmt: skip
    pace_fetches(consumer)  # the processor is the forecaster's
    async with consumer:
        yield consumer


async def receive(consumer: AIOKafkaConsumer, count: int, title: str) -> np.ndarray:
    """Publication time and latency in seconds of the next `count` forecasts, shape (count, 2)."""
    rows: list[tuple[float, float]] = []
    with Progress() as progress:
        task = progress.add_task(title, total=count)
        last = time.monotonic()
        while len(rows) < count:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    caused = int(dict(record.headers)["event_timestamp"])
                    rows.append((record.timestamp / 1000, (record.timestamp - caused) / 1000))
                last = time.monotonic()
            progress.update(task, completed=len(rows))
            if time.monotonic() - last > STALLED_SECONDS:
                raise TimeoutError(
                    f"no forecast for {STALLED_SECONDS} seconds; {len(rows)} of {count} have come"
                )
    return np.array(rows)


async def measure(arguments: argparse.Namespace, settings: Settings, folder: Path) -> dict:
    generator = np.random.default_rng(1)
    values = [snapshot(n, arguments.events, generator) for n in range(arguments.snapshots)]
    paced = [
        snapshot(len(values) + n, arguments.events, generator) for n in range(arguments.rate * 10)
    ]
    await create_topics(settings)
    await send(settings, values, 0, 0)
    async with reader(settings) as consumer:
        started = time.time()
        forecaster = RoleProcess("forecaster", settings, folder)
        try:
            published = (await receive(consumer, len(values), "backlog"))[:, 0]
            _, steady = await asyncio.gather(
                send(settings, paced, len(values), arguments.rate),
                receive(consumer, len(paced), f"{arguments.rate} a second"),
            )
        finally:
            forecaster.terminate()
            forecaster.wait(time.monotonic() + 15)
    return {
        "model": settings.forecaster,
        "events": arguments.events,
        "start_seconds": published.min() - started,
        "forecasts_a_second": len(values) / (published.max() - published.min()),
        "rate": arguments.rate,
        "latency_seconds": {
            name: float(np.quantile(steady[:, 1], level))
            for name, level in (("p50", 0.5), ("p99", 0.99))
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--snapshots", type=int, default=20_000, help="the backlog")
    parser.add_argument("--rate", type=int, default=500, help="snapshots a second, for latency")
    parser.add_argument("--events", type=int, default=100, help="events a snapshot describes")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded(Path(folder) / "broker") as (address, _),
    ):
        settings = dataclasses.replace(load(), kafka=address)
        figures = asyncio.run(measure(arguments, settings, Path(folder)))
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
