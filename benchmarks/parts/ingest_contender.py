"""Runs one contender of `ingest.py` in this process, and prints what it did as JSON.

    TIDECAST_KAFKA=HOST:PORT TIDECAST_GROUP_PREFIX=new \\
        python benchmarks/parts/ingest_contender.py \\
        getmany|tracker|faust_table|getmany_requests|historian MESSAGES

Settings come from the environment. The consumer group has to be new, for the log is read from its
beginning; it holds at least that many messages.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import faust
import faust_tracker
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from stream.historian import role as historian
from stream.historian import window
from stream.settings import Settings, load
from stream.tracker import role as tracker
from stream.tracker.store import CascadeStore
from stream.workers.handler import PartitionHandler
from stream.workers.ingest import IngestRole
from stream.workers.publishing.output import Output
from topics.catalogue import EDGE_REQUESTS, SOCIAL_EVENTS, Topic


class Stopwatch:
    """Wall and processor seconds of this process, from the first of so many messages on."""

    def __init__(self, messages: int) -> None:
        self.messages = messages
        self._left = messages
        self._began: tuple[float, float] | None = None

    def start(self) -> None:
        """Starts the clock; without effect when it runs."""
        if self._began is None:
            self._began = time.perf_counter(), time.process_time()

    def count(self, messages: int) -> bool:
        """Notes that so many were handled. True: that was the last."""
        self._left -= messages
        return self._left <= 0

    def read(self) -> dict[str, float]:
        """How many messages, and how long they took until now."""
        seconds, cpu_seconds = time.perf_counter(), time.process_time()
        if self._began is None:
            sys.exit("no message was read")
        return {
            "messages": self.messages,
            "seconds": seconds - self._began[0],
            "cpu_seconds": cpu_seconds - self._began[1],
        }


async def read_all(settings: Settings, topic: Topic, watch: Stopwatch) -> None:
    """The bare loop."""
    consumer = AIOKafkaConsumer(
        topic.name,
        bootstrap_servers=settings.kafka,
        group_id=settings.group("getmany"),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=settings.fetch_bytes,
        check_crcs=False,
    )
    await consumer.start()
    done = False
    while not done:
        fetched = await consumer.getmany(timeout_ms=200, max_records=settings.poll_records)
        if fetched:
            watch.start()
        done = watch.count(sum(map(len, fetched.values())))
    finish(watch)


class Timed:
    """A partition's handler that starts the clock, and ends the role after the last message."""

    def __init__(
        self, handler: PartitionHandler, watch: Stopwatch, end: Callable[[], None]
    ) -> None:
        self.counters, self.noticed = handler.counters, handler.noticed
        self.idle = handler.idle
        self.depends_on, self.save, self.restore = handler.depends_on, handler.save, handler.restore
        self._handler = handler
        self._watch = watch
        self._end = end

    def process(self, records: Sequence[ConsumerRecord]) -> list[Output]:
        """What the handler answers."""
        self._watch.start()
        outputs = self._handler.process(records)
        if self._watch.count(len(records)):
            self._end()
        return outputs


async def run_role(
    name: str,
    topic: Topic,
    handler: Callable[[Settings], PartitionHandler],
    settings: Settings,
    watch: Stopwatch,
) -> None:
    """The role, until it has committed the last message and come to its end."""
    handlers: list[PartitionHandler] = []

    def timed(_: int) -> PartitionHandler:
        handlers.append(Timed(handler(settings), watch, role.stop))
        return handlers[-1]

    role = IngestRole(name, topic, timed, settings)
    await role.run()
    accepted = sum(handler.counters["accepted"] for handler in handlers)
    if accepted != watch.messages:
        sys.exit(f"{name}: accepted {accepted} of {watch.messages} messages")
    finish(watch)


def run_tracker(settings: Settings, watch: Stopwatch) -> None:
    """The tracker as its `main` runs it, kernel compiled before."""
    CascadeStore(settings).advance(0.0)
    made = tracker.TrackedPartition
    asyncio.run(run_role(tracker.ROLE, SOCIAL_EVENTS, made, settings, watch))


def run_historian(settings: Settings, watch: Stopwatch) -> None:
    """The historian as its `main` runs it, kernel compiled before."""
    window.compile_kernel()
    made = historian.EdgePartition
    asyncio.run(run_role(historian.ROLE, EDGE_REQUESTS, made, settings, watch))


def run_faust(settings: Settings, watch: Stopwatch) -> None:
    """The Faust agent, until it has handled the last event."""

    def on_event() -> None:
        watch.start()
        if watch.count(1):
            finish(watch)

    app = faust_tracker.application(settings, on_event)
    worker = faust.Worker(app, loglevel="ERROR", quiet=True, redirect_stdouts=False)
    worker.spinner = None  # it would write to standard output
    worker.execute_from_commandline()


CONTENDERS: dict[str, Callable[[Settings, Stopwatch], Any]] = {
    "getmany": lambda settings, watch: asyncio.run(read_all(settings, SOCIAL_EVENTS, watch)),
    "tracker": run_tracker,
    "faust_table": run_faust,
    "getmany_requests": lambda settings, watch: asyncio.run(
        read_all(settings, EDGE_REQUESTS, watch)
    ),
    "historian": run_historian,
}


def finish(watch: Stopwatch) -> None:
    """Prints the result and ends the process at once: a Faust worker takes seconds to stop."""
    print(json.dumps(watch.read()), flush=True)
    os._exit(0)


def main() -> None:
    name, messages = sys.argv[1:]
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    # What all the imports left would otherwise be gone through again and again, and weigh most on
    # the bare loop, which needs none of it.
    gc.collect()
    gc.freeze()
    CONTENDERS[name](load(), Stopwatch(int(messages)))


if __name__ == "__main__":
    main()
