"""How soon a tracker has its state again: from a checkpoint, and from the topic.

    python benchmarks/recovery.py [--events N] [--rate N] [--seconds N] [--rounds N] [--json FILE]

On an embedded broker of its own, with the roles as processes as in production:

    state      200,000 live cascades of five events each (with the default of a million events) are
               taken in, and the tracker is stopped, which writes its checkpoints
    checkpoint started again, how long until the state is there: loading, verifying and restoring
               the longest of its partitions
    topic      the yardstick: the same without checkpoints, reading all of the topic again
    restart    with new events coming at `--rate` a second, the tracker is killed (-9) and started
               again at once: how long until it is no further behind than a quarter of a second of
               events, by its committed offsets. Loading Python and compiled code is part of that.

Seconds are those that the role itself exports (`tidecast_recovery_seconds`), beside the seconds
from the start of the process. Medians over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console
from rich.table import Table

from stream.kafka.broker import create_topics
from stream.local.embedded import embedded
from stream.processes.roles import RoleProcess
from stream.settings import Settings, load
from stream.sources.feed import connect, feed
from stream.sources.messages import EVENTS, Message

PATIENCE = 300.0  # seconds for any one step, after which the benchmark fails
EVENTS_EACH = 5
BEGIN = 1_600_000_000.0
BATCH = 1_000
BEHIND_SECONDS = 0.25
GOAL_SECONDS = 5.0

Report = dict[str, Any]
TRACKERS: list[RoleProcess] = []


class Cascades:
    """Cascades of five events each, side by side, at so many events a second of event time."""

    name = "cascades"

    def __init__(self, first: int, events: int, begin: float, rate: float) -> None:
        self.total: int | None = events
        self._first, self._begin, self._rate = first, begin, rate

    def __iter__(self) -> Iterator[list[Message]]:
        for start in range(0, self.total or 0, BATCH):
            yield [self._event(number) for number in range(start, start + BATCH)]

    def _event(self, number: int) -> Message:
        cascade, event = divmod(number, EVENTS_EACH)
        name = f"cascade-{self._first + cascade}"
        at = self._begin + number / self._rate
        parent = f',"parent_id":"{name}:{event - 1}"' if event else ""
        value = (
            f'{{"cascade_id":"{name}","event_id":"{name}:{event}","user_id":"user-{number}",'
            f'"timestamp":{at:.4f},"kind":"{"share" if event else "post"}"{parent}}}'
        )
        return Message(EVENTS, name.encode(), value.encode(), at)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000, help="of state")
    parser.add_argument("--rate", type=int, default=20_000, help="new events a second")
    parser.add_argument("--seconds", type=int, default=60, help="for which those come at most")
    parser.add_argument("--rounds", type=int, default=3, help="how often each recovery is measured")
    parser.add_argument("--json", type=Path, help="also write the report to this file")
    options = parser.parse_args()
    # So that a kill timer, too, ends the broker and the tracker.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if options.events % BATCH or options.rate % BATCH:
        parser.error(f"expected --events and --rate in thousands, multiples of {BATCH}")
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded(Path(folder) / "broker") as (kafka, _),
    ):
        settings = load(environment={}, kafka=kafka, checkpoint_url=f"{folder}/checkpoints")
        try:
            report = asyncio.run(measure(options, settings, Path(folder)))
        finally:
            for tracker in TRACKERS:
                tracker.wait(time.monotonic())  # which kills it where it has not ended
    text = json.dumps(report, indent=2)
    if options.json is not None:
        options.json.write_text(text + "\n")
    print(text, flush=True)
    Console(stderr=True).print(table_of(report))


async def measure(options: argparse.Namespace, settings: Settings, folder: Path) -> Report:
    await create_topics(settings)
    console = Console(stderr=True)
    producer = await connect(settings, [EVENTS])
    try:
        with console.status(f"taking in {options.events:,} events"):
            await feed(Cascades(0, options.events, BEGIN, 5_000.0), producer)
            tracker = start(settings, folder)
            await committed(settings, options.events)
            await stop(tracker)
        written = size_of(folder)
        rounds = []
        for number in range(options.rounds):
            with console.status(f"recovery {number + 1} of {options.rounds}"):
                rounds.append(
                    {
                        "checkpoint": await recovery(settings, folder),
                        "topic": await recovery(settings.having(checkpoint_interval=0.0), folder),
                    }
                )
        with console.status(f"restart at {options.rate:,} events a second"):
            restart = await restarted(options, settings, folder, producer)
    finally:
        await producer.stop()
    found: Report = {"events": options.events, "checkpoint_bytes": written}
    for name in ("checkpoint", "topic"):
        found[name] = {
            what: median(results[name][what] for results in rounds) for what in rounds[0][name]
        }
    found["topic_vs_checkpoint"] = found["topic"]["seconds"] / found["checkpoint"]["seconds"]
    return found | {"restart": restart, "rounds": rounds}


async def recovery(settings: Settings, folder: Path) -> Report:
    """A tracker started on what is committed, until its state is there; then stopped."""
    began = time.monotonic()
    tracker = start(settings, folder)
    while len(of_partitions(tracker)) < settings.partitions:
        check(tracker, began)
        await asyncio.sleep(0.05)
    seconds = time.monotonic() - began
    report = {
        "seconds": max(of_partitions(tracker)),
        "since_start_seconds": seconds,
        "records_replayed": tracker.metrics()["tidecast_tracker_rebuilt_records_total"],
    }
    await stop(tracker)
    return report


async def restarted(
    options: argparse.Namespace, settings: Settings, folder: Path, producer: Any
) -> Report:
    """Kills a tracker under load and starts it again, until it has caught up."""
    settings = settings.having(checkpoint_interval=5.0)
    tracker = start(settings, folder)
    total = options.rate * options.seconds
    source = Cascades(options.events, total, BEGIN + options.events / 5_000.0, options.rate)
    sent = [0]
    feeding = asyncio.create_task(
        feed(source, producer, speed=1.0, on_sent=lambda so_far: sent.append(so_far.total))
    )
    behind = options.rate * BEHIND_SECONDS
    try:
        await joined(tracker, time.monotonic())
        await caught_up(settings, options.events, sent, behind)
        await asyncio.sleep(7.5)  # to between two checkpoints
        await asyncio.to_thread(tracker.wait, time.monotonic())  # which kills it
        began = time.monotonic()
        tracker = start(settings, folder)
        await joined(tracker, began)  # until then events wait that nobody has missed yet
        most = await caught_up(settings, options.events, sent, behind)
        report = {
            "rate": options.rate,
            "caught_up_seconds": time.monotonic() - began,
            "most_behind": most,
            "records_replayed": tracker.metrics()["tidecast_tracker_rebuilt_records_total"],
            "pause_seconds": pause(tracker),
        }
        if feeding.done():
            raise SystemExit("the events ended before it had caught up: give more --seconds")
        return report
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        await stop(tracker)


async def joined(tracker: RoleProcess, began: float) -> None:
    """Waits until the worker has its partitions."""
    while not tracker.has_joined:
        check(tracker, began)
        await asyncio.sleep(0.05)


async def caught_up(settings: Settings, before: int, sent: list[int], behind: float) -> int:
    """Waits until the group has committed all but `behind` of what was sent; the most it was.

    Args:
        sent: counts of what was sent so far, the last one that of now.
    """
    most, deadline = 0, time.monotonic() + PATIENCE
    async with offsets_of(settings) as consumer:
        while time.monotonic() < deadline:
            lag = before + sent[-1] - await offsets(consumer, settings)
            most = max(most, lag)
            if sent[-1] and lag <= behind:
                return most
            await asyncio.sleep(0.05)
    raise SystemExit(f"not caught up after {PATIENCE:g} s: {lag:,} events behind")


async def committed(settings: Settings, total: int) -> None:
    async with offsets_of(settings) as consumer, asyncio.timeout(PATIENCE):
        while await offsets(consumer, settings) < total:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def offsets_of(settings: Settings) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(bootstrap_servers=settings.kafka, group_id=settings.group("tracker"))


async def offsets(consumer: AIOKafkaConsumer, settings: Settings) -> int:
    """Committed over all partitions."""
    sources = [TopicPartition(EVENTS, number) for number in range(settings.partitions)]
    return sum([await consumer.committed(source) or 0 for source in sources])


def size_of(folder: Path) -> int:
    """Bytes of the checkpoints in it."""
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def of_partitions(tracker: RoleProcess) -> list[float]:
    return tracker.samples("tidecast_recovery_seconds")


def pause(tracker: RoleProcess) -> float:
    """The mean time in which a checkpoint let no record be taken in."""
    metrics = tracker.metrics()
    count = metrics["tidecast_checkpoint_pause_seconds_count"]
    return metrics["tidecast_checkpoint_pause_seconds_sum"] / max(1, count)


def start(settings: Settings, folder: Path) -> RoleProcess:
    TRACKERS.append(RoleProcess("tracker", settings, folder))
    return TRACKERS[-1]


async def stop(tracker: RoleProcess) -> None:
    tracker.terminate()
    code = await asyncio.to_thread(tracker.wait, time.monotonic() + PATIENCE)
    if code not in (0, -signal.SIGTERM):  # the latter: told to end while it started
        raise SystemExit(f"the tracker ended with {code}:\n{tracker.tail()}")


def check(tracker: RoleProcess, began: float) -> None:
    if tracker.exit_code is not None or time.monotonic() - began > PATIENCE:
        raise SystemExit(f"no state after {PATIENCE:g} s:\n{tracker.tail()}")


def table_of(report: Report) -> Table:
    """The report for a person."""
    table = Table("", "goal", "measured", box=None, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    events, restart = report["events"], report["restart"]
    table.add_row(
        f"{events:,} events back from checkpoints, s",
        f"≤ {GOAL_SECONDS:g}",
        f"{report['checkpoint']['seconds']:.2f}",
    )
    table.add_row("from the topic, s", "", f"{report['topic']['seconds']:.2f}")
    table.add_row("times faster", "", f"{report['topic_vs_checkpoint']:.1f}")
    for name in ("checkpoint", "topic"):
        seconds = report[name]["since_start_seconds"]
        table.add_row(f"{name}, since the process started, s", "", f"{seconds:.2f}")
    table.add_row(
        "bytes of checkpoints, an event", "", f"{report['checkpoint_bytes'] / events:.0f}"
    )
    seconds = restart["caught_up_seconds"]
    table.add_row(f"caught up at {restart['rate']:,}/s after kill -9, s", "", f"{seconds:.1f}")
    table.add_row("pause of a checkpoint, ms", "", f"{1e3 * restart['pause_seconds']:.1f}")
    return table


if __name__ == "__main__":
    main()
