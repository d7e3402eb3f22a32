"""Measures how long forecasts take while the forecaster's version is swapped, beside without.

    python benchmarks/model_swap.py [--rate 100] [--seconds 20] [--every 2] [--model boosting]

At `--rate` snapshots a second, for `--seconds` without and `--seconds` with a swap every `--every`
seconds, on an embedded broker of its own. The versions are copies of the one that ships. `ratio` is
the p99 with swaps over that without.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
from aiokafka import AIOKafkaProducer
from forecaster import reader, receive, send, snapshot

from models import registry
from stream.kafka.broker import create_topics
from stream.local.embedded import embedded
from stream.processes.roles import RoleProcess
from stream.serving.loading import describe
from stream.settings import Settings, load
from topics.catalogue import MODEL_UPDATES

WARM = 200


async def swap(settings: Settings, count: int, every: float) -> None:
    """Publishes so many versions, one after the other."""
    root = Path(settings.registry)
    card = registry.read_card(settings.forecaster, "1")
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
        for number in range(2, 2 + count):
            folder = root / settings.forecaster / str(number)
            await asyncio.to_thread(
                shutil.copytree, registry.SHIPPED / settings.forecaster / "1", folder
            )
            registry.write_card(folder, msgspec.structs.replace(card, version=str(number)))
            update = describe(settings.forecaster, str(number), root)
            await producer.send_and_wait(
                MODEL_UPDATES.name, MODEL_UPDATES.codec.encode(update), key=update.name.encode()
            )
            await asyncio.sleep(every)


async def measure(arguments: argparse.Namespace, settings: Settings, folder: Path) -> dict:
    generator = np.random.default_rng(1)
    shutil.copytree(registry.SHIPPED, settings.registry)  # a mixture needs its members beside it
    count, rate = arguments.rate * arguments.seconds, arguments.rate
    await create_topics(settings)
    async with reader(settings) as consumer:
        forecaster = RoleProcess("forecaster", settings, folder)
        first = 0
        latencies = []
        try:
            for phase, size in (("warm", WARM), ("without", count), ("with", count)):
                values = [snapshot(first + n, arguments.events, generator) for n in range(size)]
                tasks = [
                    send(settings, values, first, rate),
                    receive(consumer, size, f"{phase} swaps"),
                ]
                if phase == "with":
                    swaps = int(arguments.seconds / arguments.every)
                    tasks.append(swap(settings, swaps, arguments.every))
                latencies.append((await asyncio.gather(*tasks))[1][:, 1])
                first += size
            exported = forecaster.metrics()
        finally:
            forecaster.terminate()
            forecaster.wait(time.monotonic() + 15)
    without, during = (np.quantile(each, (0.5, 0.99)).tolist() for each in latencies[1:])
    return {
        "model": settings.forecaster,
        "rate": rate,
        "swaps": int(exported["tidecast_forecaster_swaps_total"]),
        "failed": int(exported["tidecast_forecaster_failed_swaps_total"]),
        "without_swaps_seconds": dict(zip(("p50", "p99"), without, strict=True)),
        "with_swaps_seconds": dict(zip(("p50", "p99"), during, strict=True)),
        "ratio": during[1] / without[1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=int, default=100, help="snapshots a second")
    parser.add_argument("--seconds", type=int, default=20, help="of each of the two phases")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two swaps")
    parser.add_argument("--events", type=int, default=100, help="events a snapshot describes")
    parser.add_argument("--model", default="boosting", help="one that ships")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded(Path(folder) / "broker") as (address, _),
    ):
        settings = load(
            kafka=address, forecaster=arguments.model, registry=str(Path(folder) / "registry")
        )
        figures = asyncio.run(measure(arguments, settings, Path(folder)))
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
