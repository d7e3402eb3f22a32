"""What a rate takes: bytes a message on Apache Kafka's disk; processor and memory of each role.

    python -m benchmarks.sizing [--seconds 120] [--speed 60] [--json FILE]

`tidecast up` runs on one broker of Apache Kafka and simulates traffic. Once all roles have worked
for a while the clock starts; it stops after so many seconds. Between the two each role's processor
time is counted, and what was written to each topic; its resident memory is read at the end, as are
the segments of each topic on the broker's disk. Heartbeats and closed epochs are messages too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.parts import roles
from deploy.apache_kafka.broker import Broker, running
from stream.kafka import broker
from stream.kafka.reader import reader
from stream.settings import Settings, load
from topics.catalogue import CATALOGUE, EDGE_REQUESTS, SOCIAL_EVENTS, Topic

ROOT = Path(__file__).resolve().parents[1]
WARM = 45.0  # seconds in which everything starts, and what it does first is done
PATIENCE = 300.0


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0, help="that are measured")
    parser.add_argument("--speed", type=float, default=60.0, help="of the traffic, times real time")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    asked = parser.parse_args()
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as cluster:
        log = Path(folder) / "run.txt"
        report = measure(cluster.brokers[0], log, asked, console)
    text = json.dumps(report, indent=2)
    if asked.json:
        asked.json.write_text(text + "\n")
    print(text, flush=True)
    for table in tables_of(report):
        console.print(table)


def measure(
    kafka: Broker, log: Path, asked: argparse.Namespace, console: Console
) -> dict[str, Any]:
    """Runs everything on this broker, and looks twice."""
    settings = load(environment={}, kafka=kafka.address)
    sends = WARM + asked.seconds + PATIENCE  # it is stopped before that
    command = [
        sys.executable, "-m", "stream", "up", "--kafka", kafka.address,
        "--speed", f"{asked.speed:g}", "--for", f"{sends:g}", "--logs", str(log.parent / "logs"),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with log.open("w") as sink:
        run = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=sink, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    try:
        with console.status("everything starts"):
            time.sleep(WARM)
        _still_there(run, log)
        before = look(run.pid, settings)
        with console.status(f"measuring for {asked.seconds:g} s"):
            time.sleep(asked.seconds)
        _still_there(run, log)
        return report_of(before, look(run.pid, settings), kafka.node.folder)
    finally:
        os.killpg(run.pid, signal.SIGINT)
        run.wait(PATIENCE)


def _still_there(run: subprocess.Popen[bytes], log: Path) -> None:
    if run.poll() is not None:
        sys.exit(f"the run ended with {run.returncode}:\n{log.read_text()[-2_000:]}")


class Look(NamedTuple):
    """What was taken and written up to a moment.

    Attributes:
        at: the moment, in seconds.
        ends: messages that each topic has been given.
        processor: seconds of it that each role has taken.
        resident: bytes of each role's memory.
    """

    at: float
    ends: Mapping[str, int]
    processor: Mapping[str, float]
    resident: Mapping[str, int]


def look(parent: int, settings: Settings) -> Look:
    """Looks at the processes below one, and at the topics."""
    found = roles.of(parent)
    return Look(
        time.monotonic(),
        asyncio.run(ends_of(settings)),
        {name: sum(process.cpu_times()[:2]) for name, process in found.items()},
        {name: process.memory_info().rss for name, process in found.items()},
    )


def report_of(before: Look, after: Look, folder: Path) -> dict[str, Any]:
    """Rates and shares between two looks, and what each topic takes in the broker's folder."""
    seconds = after.at - before.at

    def rate(topic: Topic) -> float:
        return (after.ends[topic.name] - before.ends[topic.name]) / seconds

    return {
        "seconds": seconds,
        "events_per_second": rate(SOCIAL_EVENTS),
        "requests_per_second": rate(EDGE_REQUESTS),
        "roles": {
            name: {
                "core_share": (used - before.processor[name]) / seconds,
                "megabytes": after.resident[name] / 1e6,
            }
            for name, used in sorted(after.processor.items())
        },
        "topics": on_disk(folder, after.ends),
    }


async def ends_of(settings: Settings) -> dict[str, int]:
    """How many messages each topic has been given so far."""
    consumer = reader(settings)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(await broker.partitions(settings, CATALOGUE))
    finally:
        await consumer.stop()
    found = dict.fromkeys(CATALOGUE, 0)
    for partition, end in ends.items():
        found[partition.topic] += end
    return found


def on_disk(folder: Path, ends: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """Messages and bytes of the segments of each topic that has some; indexes are not counted."""
    found = {}
    for topic, messages in ends.items():
        segments = folder.rglob(f"{topic}-[0-9]*/*.log")
        if messages:
            taken = sum(segment.stat().st_size for segment in segments)
            found[topic] = {"messages": messages, "bytes": taken, "each": taken / messages}
    return found


def tables_of(report: Mapping[str, Any]) -> list[Table]:
    """The report for a person."""
    by_role = Table("role", "of a core", "MB", box=None, header_style="bold")
    for name, role in report["roles"].items():
        by_role.add_row(name, f"{role['core_share']:.1%}", f"{role['megabytes']:.0f}")
    by_role.title = (
        f"{report['events_per_second']:,.0f} events/s, {report['requests_per_second']:,.0f} "
        "requests/s"
    )
    by_topic = Table("topic", "messages", "bytes each", box=None, header_style="bold")
    for name, topic in report["topics"].items():
        by_topic.add_row(name, f"{topic['messages']:,}", f"{topic['each']:,.0f}")
    for table in (by_role, by_topic):
        for column in table.columns[1:]:
            column.justify = "right"
    return [by_role, by_topic]


if __name__ == "__main__":
    main()
