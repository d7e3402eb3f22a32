"""How fast traffic is made and sent, one core a process.

    python benchmarks/traffic.py [--cascades FILE ...] [--messages N] [--json FILE]

Prints messages a second: of a replay (encoded from its arrays) where files are given, of the
simulator, and of the feeder into the embedded broker, with one `send` a message beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from stream.kafka.broker import create_topics
from stream.local.embedded import embedded
from stream.settings import Settings
from stream.sources.feed import connect, feed
from stream.sources.messages import EVENTS, REQUESTS, Limited, Message
from stream.sources.replay import CascadeReplay
from stream.sources.simulate import Simulation


class Ready:
    """Messages that exist already, so that sending alone is measured."""

    name = "ready"

    def __init__(self, batches: list[list[Message]]) -> None:
        self.batches = batches
        self.total: int | None = sum(map(len, batches))

    def __iter__(self) -> Iterator[list[Message]]:
        return iter(self.batches)


def rate(source: Iterable[list[Message]]) -> float:
    """Messages a second of CPU time that iterating makes."""
    began = time.process_time()
    count = sum(map(len, source))
    return count / (time.process_time() - began)


async def sending(count: int) -> dict[str, float]:
    """Messages a second of wall time into an embedded broker, until all are acknowledged."""
    batches = list(Limited(Simulation(), count))
    found = {}
    with tempfile.TemporaryDirectory() as folder, embedded(Path(folder)) as (kafka, _):
        await create_topics(Settings(kafka=kafka))
        producer = await connect(Settings(kafka=kafka), [EVENTS, REQUESTS])
        try:
            began = time.perf_counter()
            await feed(Ready(batches), producer)
            found["feed"] = count / (time.perf_counter() - began)
            began = time.perf_counter()
            waiting = [
                await producer.send(message.topic, message.value, message.key)
                for batch in batches
                for message in batch
            ]
            await asyncio.gather(*waiting)
            found["one send a message"] = count / (time.perf_counter() - began)
        finally:
            await producer.stop()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cascades", nargs="*", type=Path, default=[])
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {}
    if options.cascades:
        found["replay"] = rate(Limited(CascadeReplay(options.cascades), options.messages))
    found["simulation, events and requests"] = rate(Limited(Simulation(), options.messages))
    events_only = Simulation(cascades_per_second=10, requests_per_second=0)
    found["simulation, events alone"] = rate(Limited(events_only, options.messages))
    found |= asyncio.run(sending(options.messages))
    for name, value in found.items():
        print(f"{name:34} {value:>10,.0f} messages/s")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
