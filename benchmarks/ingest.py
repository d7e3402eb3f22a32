"""The ingest roles beside a loop that does nothing and a Faust agent that does the same.

    python -m benchmarks.ingest [--broker apache] [--json FILE] [--messages N] [--rounds N]

A broker on one core, the embedded one or Apache Kafka, holds a simulated log. Each contender is a
process of its own on the other core and reads the log from its beginning as fast as it can:

    getmany            a bare `AIOKafkaConsumer.getmany` loop that decodes nothing: the yardstick
    tracker            the role as in production: events decoded, state kept, snapshots and outcomes
                       published and acknowledged, offsets committed, metrics counted
    faust_table        the tracker's work as a plain Faust agent (`parts/faust_tracker.py`), over
                       the first events only, while cascades are small, which favours it
    kafka_streams      the tracker's work as an application of Kafka Streams, in Java
                       (`parts/StreamsTracker.java`); on Apache Kafka
    getmany_requests   the bare loop over requests
    historian          the role as in production, over the same

The clock of a contender runs from its first message to its last; that of a role to its end, when
all is published and committed. Rates by the wall clock are what the goals are about. Rates by the
contender's own processor time are printed beside them: other work on the machine, and a broker
that is too slow, distort them less. Rates are medians over the rounds, and ratios are medians of
the ratios within a round.

The embedded broker saves all that it holds every second or two while anything is written, which
keeps its core busy. So events and requests have a broker each, and outputs are bounded.

Memory is what a process grows by (`parts/cascade_memory.py`). An event is what 10,000 cascades of
400 take beyond as many of 8; a cascade is what a million of 5 take beyond the price of theirs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import operator
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from aiokafka.admin import NewTopic
from rich.console import Console
from rich.table import Table

from deploy.apache_kafka.artefacts import java
from deploy.apache_kafka.broker import running
from stream.kafka import broker
from stream.local.embedded import embedded
from stream.settings import Settings, load
from stream.sources.feed import connect, feed
from stream.sources.messages import Limited, Message, Source
from stream.sources.simulate import Simulation
from topics.catalogue import EDGE_REQUESTS, SOCIAL_EVENTS, Topic

PATIENCE = 120.0  # seconds for any one step, after which the benchmark fails
FAUST_EVENTS = 10_000  # enough at its pace
PARTS = Path(__file__).parent / "parts"

Report = dict[str, Any]

EMBEDDED, APACHE = "embedded", "apache"
STREAMS = "kafka_streams"
# topic: its contenders
CONTENDERS = {
    SOCIAL_EVENTS: ("getmany", "tracker", "faust_table", STREAMS),
    EDGE_REQUESTS: ("getmany_requests", "historian"),
}
# ratio: contender, yardstick
RATIOS = {
    "tracker_vs_getmany": ("tracker", "getmany"),
    "tracker_vs_faust_table": ("tracker", "faust_table"),
    "tracker_vs_kafka_streams": ("tracker", STREAMS),
    "historian_vs_getmany": ("historian", "getmany_requests"),
}
GOALS = {
    "tracker_vs_getmany": "≥ 0.4",
    "tracker_vs_faust_table": "≥ 40",
    "tracker_vs_kafka_streams": "≥ 1",
    "bytes_per_event": "≤ 64",
    "bytes_per_cascade": "≤ 400",
}


def main() -> None:
    arguments = parse_arguments()
    # So that a kill timer, too, ends the broker and the contender.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    console = Console(stderr=True)
    with console.status("memory"):
        memory = measure_memory()
    rounds: list[Report] = [{} for _ in range(arguments.rounds)]
    for topic, contenders in CONTENDERS.items():
        with (
            tempfile.TemporaryDirectory() as folder,
            broker_on_a_core(arguments.broker, Path(folder)) as kafka,
        ):
            settings = load(environment={}, kafka=kafka, data_dir=folder)
            with console.status(f"filling {topic.name}"):
                bounded = arguments.broker == EMBEDDED
                asyncio.run(fill(settings, topic, arguments.messages, bounded))
            for number, results in enumerate(rounds):
                own = settings.having(group_prefix=f"round-{number}")
                for name in contenders:
                    if name == STREAMS and arguments.broker == EMBEDDED:
                        continue  # it needs transactions and offsets that this broker does not have
                    messages = FAUST_EVENTS if name == "faust_table" else arguments.messages
                    with console.status(f"round {number + 1} of {len(rounds)}: {name}"):
                        results[name] = contend(name, messages, own)
    report = {"broker": arguments.broker} | summary(rounds) | memory | {"rounds": rounds}
    text = json.dumps(report, indent=2)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n")
    print(text, flush=True)
    console.print(table_of(report))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--broker",
        choices=(EMBEDDED, APACHE),
        default=EMBEDDED,
        help="apache needs Java and Maven, and has Kafka Streams among the contenders",
    )
    parser.add_argument("--json", type=Path, help="also write the report to this file")
    parser.add_argument("--messages", type=int, default=200_000, help="of each log")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender runs")
    arguments = parser.parse_args()
    if arguments.messages < FAUST_EVENTS or arguments.rounds < 1:
        parser.error(f"expected --messages of {FAUST_EVENTS} or more and --rounds of 1 or more")
    return arguments


@contextmanager
def broker_on_a_core(kind: str, folder: Path) -> Iterator[str]:
    """A broker that runs on the last core alone: its address."""
    core = {max(os.sched_getaffinity(0))}
    if kind == EMBEDDED:
        with embedded(folder) as (kafka, process):
            os.sched_setaffinity(process.pid, core)
            yield kafka
        return
    with running(folder) as cluster:
        process_of = psutil.Process(cluster.brokers[0].process.pid)
        for thread in process_of.threads():
            os.sched_setaffinity(thread.id, core)
        yield cluster.address


def contend(name: str, messages: int, settings: Settings) -> Report:
    """What a contender did, on the first core alone."""
    if name != STREAMS:
        return run(name, "ingest_contender.py", name, messages, of=settings)
    core = str(min(os.sched_getaffinity(0)))
    group = settings.group(name)
    told = [
        settings.kafka, group, str(settings.data_dir / group), str(messages),
        str(settings.max_events), str(settings.growth_first), str(settings.growth_factor),
        str(settings.fetch_bytes), str(settings.poll_records),
    ]  # fmt: skip
    program = str(PARTS / "StreamsTracker.java")
    return printed(name, ["taskset", "--cpu-list", core, *java(program, told)])


class OneTopic:
    """The messages of a source that go to one topic."""

    def __init__(self, source: Source, topic: Topic) -> None:
        self.name = source.name
        self.total: int | None = None
        self.begins = {topic.name: source.begins[topic.name]}
        self._source = source
        self._topic = topic.name

    def __iter__(self) -> Iterator[list[Message]]:
        for batch in self._source:
            yield [message for message in batch if message.topic == self._topic]


async def fill(settings: Settings, topic: Topic, messages: int, bounded: bool) -> None:
    """Creates the topics, and sends the log of one of them."""
    world = Simulation(cascades_per_second=5.0, requests_per_second=150.0)
    async with asyncio.timeout(PATIENCE):
        admin = await broker.connect_admin(settings)
        await admin.create_topics([NewTopic(topic.name, settings.partitions, 1)])
        await admin.close()
        await broker.create_topics(settings, bounded)  # the others
        async with await connect(settings, [topic.name]) as producer:
            await feed(Limited(OneTopic(world, topic), messages), producer)


def run(name: str, script: str, *arguments: object, of: Settings | None = None) -> Report:
    """What a script beside this one prints, run as a process of its own.

    Args:
        name: what it is called when it fails.
        of: settings for its environment.
    """
    command = [sys.executable, str(PARTS / script), *map(str, arguments)]
    return printed(name, command, {**os.environ, **(of.environment() if of else {})})


def printed(
    name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> Report:
    """What a process printed as JSON."""
    try:
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, timeout=PATIENCE, check=True
        )
    except subprocess.TimeoutExpired:
        sys.exit(f"{name}: no result within {PATIENCE:g} s")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{name}: ended with exit code {error.returncode}; see above what it wrote")
    if not done.stdout:
        sys.exit(f"{name}: ended without a result; see above what it wrote")
    result: Report = json.loads(done.stdout)
    return result


def measure_memory() -> Report:
    """Bytes of an event and of a cascade."""

    def taken(cascades: int, events: int) -> int:
        name = f"memory of {cascades:,} cascades"
        return int(run(name, "cascade_memory.py", cascades, events)["bytes"])

    few, many, million = taken(10_000, 8), taken(10_000, 400), taken(1_000_000, 5)
    an_event = (many - few) / (10_000 * (400 - 8))
    return {
        "bytes_per_event": an_event,
        "bytes_per_cascade": (million - 5_000_000 * an_event) / 1_000_000,
        "million_cascades_bytes": million,
    }


def summary(rounds: Sequence[Mapping[str, Report]]) -> Report:
    """Ratios and the rates behind them, medians over the rounds."""

    def rates(name: str, clock: str) -> list[float]:
        return [results[name]["messages"] / results[name][clock] for results in rounds]

    def by(clock: str) -> Report:
        ratios = {
            ratio: median(map(operator.truediv, rates(name, clock), rates(yardstick, clock)))
            for ratio, (name, yardstick) in RATIOS.items()
            if name in rounds[0] and yardstick in rounds[0]
        }
        return {
            **ratios,
            "messages_per_second": {name: median(rates(name, clock)) for name in rounds[0]},
        }

    return by("seconds") | {"by_cpu_time": by("cpu_seconds")}


def table_of(report: Report) -> Table:
    """The report for a person."""
    table = Table("", "goal", "wall clock", "CPU time", box=None, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    by_cpu_time = report["by_cpu_time"]
    for name, rate in report["messages_per_second"].items():
        cpu_rate = by_cpu_time["messages_per_second"][name]
        table.add_row(f"{name}, messages/s", "", f"{rate:,.0f}", f"{cpu_rate:,.0f}")
    for name in (name for name in RATIOS if name in report):
        table.add_row(name, GOALS.get(name, ""), f"{report[name]:.3g}", f"{by_cpu_time[name]:.3g}")
    for name in ("bytes_per_event", "bytes_per_cascade"):
        table.add_row(name, GOALS[name], f"{report[name]:.1f}", "")
    return table


if __name__ == "__main__":
    main()
