"""The ranker: windows of requests in, decisions about each edge's cache out.

The edges of a partition are state that no message carries, a function of the windows so far. A
worker that is given a partition therefore takes it from a checkpoint
(`stream.checkpoints.recovery`), or from none, reads the windows from there up to the first one it
is to answer, in silence, and goes on; so does one whose last batch was computed and then not
committed. What it repeats has the same keys and the same content.

A version of the model that is published on `model.updates` is loaded beside the old one and takes
over between two batches: the edges are rebuilt with it from the windows. What the old one decided
and the new one does not repeat expires by itself.

All decisions about an edge go to the partition that Kafka's default partitioner gives the edge's
id, so a reader of one edge follows one partition. They carry the header `event_timestamp`, the
Kafka timestamp (milliseconds) of the request that closed the window.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import msgspec
from aiokafka import ConsumerRecord
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stream.checkpoints import object_state
from stream.checkpoints.content import Arrays, packed
from stream.checkpoints.recovery import Progress, Recovery
from stream.kafka.marks import Mark, Point
from stream.kafka.partitions import partition_hash
from stream.kafka.past import TakeIn, reread
from stream.ranker.decisions import Change, EdgeDecisions
from stream.serving.current import Serving
from stream.serving.model_watch import ModelWatch
from stream.serving.rankers import DECAYED, LoadedRanker, MakeRanker, decayed, of_ranker
from stream.settings import Settings
from stream.telemetry import setup as telemetry
from stream.telemetry import traces
from stream.workers import agents
from stream.workers.agents import Received, passed_by_partition
from stream.workers.output import Output, dead_letter
from topics import consistency
from topics.catalogue import CACHE_DECISIONS, EDGE_WINDOWS
from topics.codecs import DecodeError
from topics.heartbeat import is_heartbeat
from topics.records import EdgeEpoch, EdgeWindow

log = logging.getLogger(__name__)

ROLE = "ranker"
WINDOWS_A_BATCH = 64
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)

# Gives the windows of a partition from an offset up to before another to a function.
Reread = Callable[[int, int, int, TakeIn], int]


class Metrics:
    """What the ranker exports."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, what: str) -> Counter:
            return Counter(f"tidecast_ranker_{name}_total", what, registry=registry)

        def histogram(name: str, what: str) -> Histogram:
            return Histogram(
                f"tidecast_ranker_{name}_seconds", what, registry=registry, buckets=_SECONDS
            )

        self.windows = counter("windows", "Windows read, parts each for themselves")
        self.requests = counter("requests", "Requests in closed epochs")
        self.decisions = counter("decisions", "Decisions published, renewals included")
        self.returned = counter("returned", "Objects returned to the edge's default")
        self.rebuilt = counter("rebuilt_windows", "Windows read again to rebuild state")
        self.dead_letters = counter("dead_letters", "Windows that could not be used")
        self.superseded = counter(
            "superseded", "Records not published, for the ranker was late and had later ones"
        )
        self.hits = counter("obeying_hits", "Requests that an obeying cache would have answered")
        self.lru_hits = counter("lru_hits", "Requests that LRU of equal size would have answered")
        self.decayed_hits = counter(
            "decayed_hits", "Requests that a decayed count of equal size would have answered"
        )
        self.gained = Gauge(
            "tidecast_ranker_hit_ratio_gained",
            "Hit ratio of obeying caches less that of LRU, over the latest epoch of every edge",
            registry=registry,
        )
        self.standing_down = Gauge(
            "tidecast_ranker_edges_standing_down",
            "Edges that get no decisions because obeying them gained nothing lately",
            registry=registry,
        )
        self.compute = histogram("compute", "Time to answer a batch")
        self.queue = histogram("queue", "From the request's Kafka timestamp to the batch's start")
        self.edges = Gauge("tidecast_ranker_edges", "Edges known", registry=registry)


class RankedPartition:
    """The edges of one partition of `edge.windows`, after its windows up to `position`."""

    def __init__(self, settings: Settings, make: MakeRanker) -> None:
        self.position = 0
        self.committed = 0  # up to where what it answered is out and committed
        self.last: ConsumerRecord | Received | None = None  # before that position, where known
        self.edges: dict[str, EdgeDecisions] = {}  # the one silent longest first
        ranker = make()
        self.depends_on: Mapping[str, str] = {
            name: str(getattr(settings, name))
            for name in ("max_edges", "max_objects", "cache_objects", "cache_share",
                         "decision_windows")
        } | {"model": ranker.name, "model_version": ranker.version}  # fmt: skip
        self._settings = settings
        self._make = make

    def step(self, window: EdgeWindow, produced_at: float) -> list[Change]:
        """What changes after a window, the next of the partition."""
        edge = self.edges.pop(window.edge_id, None)
        if edge is None:
            if len(self.edges) >= self._settings.max_edges:
                del self.edges[next(iter(self.edges))]
            edge = EdgeDecisions(window.edge_id, self._make(), self._settings)
        self.edges[window.edge_id] = edge
        return edge.step(window, produced_at)

    def save(self) -> dict[str, NDArray]:
        """A copy of the edges, for `restore`."""
        names = packed(msgspec.msgpack.encode(list(self.edges)))
        return {"edges": names, **object_state.save(list(self.edges.values()))}

    def restore(self, arrays: Arrays) -> None:
        """Makes the edges what was saved."""
        names = msgspec.msgpack.decode(arrays["edges"].tobytes(), type=list[str])
        edges = [EdgeDecisions(name, self._make(), self._settings) for name in names]
        object_state.restore(edges, arrays)
        self.edges = dict(zip(names, edges, strict=True))

    def take_in(self, records: Iterable[ConsumerRecord]) -> None:
        """Steps windows whose decisions were published before; bad ones were dead letters then."""
        for record in records:
            self.last = record
            window = usable(record.value)
            if isinstance(window, EdgeWindow):
                self.step(window, 0.0)


class RankBatch:
    """Turns a batch of messages into decisions and dead letters.

    Args:
        settings: capacities, bounds, the life of decisions.
        current: what makes the ranker of each edge now.
        reread: gives it a partition's earlier windows.
        assigned: the numbers of the partitions that this worker has now.
        metrics: what it counts.
        recovery: gives back a partition's state where there is a checkpoint.
    """

    def __init__(
        self,
        settings: Settings,
        current: Callable[[], MakeRanker],
        reread: Reread,
        assigned: Callable[[], set[int]],
        metrics: Metrics,
        recovery: Recovery,
    ) -> None:
        self._recovery = recovery
        self._settings = settings
        self._current = current
        self._make = current()
        self._reread = reread
        self._assigned = assigned
        self._partitions: dict[int, RankedPartition] = {}
        self._latest: dict[str, EdgeEpoch] = {}  # of each edge, the one silent longest first
        self._late = False
        self._metrics = metrics

    def __call__(self, messages: Sequence[Received]) -> list[tuple[int, Output]]:
        """The outputs of the messages, each beside the number that decides its partition."""
        metrics, now = self._metrics, time.time()
        make = self._current()
        if make is not self._make:  # another version: the edges are rebuilt with it
            self._make = make
            self._partitions = {n: RankedPartition(self._settings, make) for n in self._partitions}
        gone = self._partitions.keys() - self._assigned()
        self._recovery.forget(gone)
        for number in gone:
            del self._partitions[number]
        outputs: list[tuple[int, Output]] = []
        with metrics.compute.time():
            for message in messages:
                if is_heartbeat(message):
                    self._pass_over(message)
                    outputs += passed_by_partition([message], CACHE_DECISIONS)
                    continue
                metrics.windows.inc()
                metrics.queue.observe(max(0.0, now - message.timestamp / 1000))
                outputs += self._answer(message)
            if self._is_late(messages, now):
                outputs = self._newest(outputs)
        metrics.edges.set(sum(len(p.edges) for p in self._partitions.values()))
        self._compare()
        return outputs

    def _is_late(self, messages: Sequence[Received], now: float) -> bool:
        """Whether even the newest window of a batch has waited so long that edges go without."""
        newest = max((m.timestamp for m in messages if not is_heartbeat(m)), default=None)
        limit = self._settings.skip_after
        if newest is None or not limit:
            return False
        age = now - newest / 1000
        if (age > limit) != self._late:
            self._late = not self._late
            if self._late:
                log.warning(
                    "the newest window at hand is %.0f s old, past skip_after: until that changes "
                    "batches say the latest of each object alone", age,
                )  # fmt: skip
            else:
                log.info("windows are newer than skip_after again: each says all that it changes")
        return self._late

    def _newest(self, outputs: Sequence[tuple[int, Output]]) -> list[tuple[int, Output]]:
        """Outputs without the decisions and epochs that later ones among them replace.

        It is what compaction would leave. The state goes through every window all the same: it
        has to be a function of the log alone, whoever was late.
        """
        replaceable = {
            i: output.key
            for i, (_, output) in enumerate(outputs)
            if output.topic == CACHE_DECISIONS.name and not is_heartbeat(output)
        }
        last = {key: i for i, key in replaceable.items()}
        kept = [
            output
            for i, output in enumerate(outputs)
            if i not in replaceable or last[replaceable[i]] == i
        ]
        self._metrics.superseded.inc(len(outputs) - len(kept))
        return kept

    def _answer(self, message: Received) -> list[tuple[int, Output]]:
        partition = self._up_to(message.partition, message.offset)
        partition.position, partition.last = message.offset + 1, message
        window = usable(message.value)
        if isinstance(window, DecodeError):
            self._metrics.dead_letters.inc()
            letter = dead_letter(message, ROLE, DecodeError.__name__, str(window))
            return [(message.partition, letter)]
        produced_at = time.time()
        changes = partition.step(window, produced_at)
        number = partition_hash(window.edge_id.encode()) if changes else 0
        self._count(changes)
        traceparent = traces.of(message.headers, window.window_id)
        if log.isEnabledFor(logging.DEBUG) and changes:
            log.debug(
                "edge %s, epoch %d: %d records", window.edge_id, window.epoch, len(changes),
                extra={"trace_id": traces.trace_id(traceparent)},
            )  # fmt: skip
        return [(number, _output(change, message, produced_at, traceparent)) for change in changes]

    def _pass_over(self, message: Received) -> None:
        """Takes in that a message is no window, so that nothing is read again for the gap."""
        partition = self._partitions.get(message.partition)
        if partition is not None and partition.position == message.offset:
            partition.position, partition.last = message.offset + 1, message

    def _up_to(self, number: int, offset: int) -> RankedPartition:
        """The partition's state before the message at `offset`, rebuilt where it is not at hand."""
        began = time.monotonic()
        partition = self._partitions.get(number)
        if partition is None or partition.position > offset:
            partition, point, _ = asyncio.run(
                self._recovery.restored(
                    number, lambda: RankedPartition(self._settings, self._make), offset
                )
            )
            partition.position = partition.committed = point.offset
            self._partitions[number] = partition
        elif partition.position == offset:
            return partition
        progress = Progress(number, partition.position, offset, self._recovery.metrics, began)
        if partition.position < offset:
            count = self._reread(number, partition.position, offset, partition.take_in)
            self._metrics.rebuilt.inc(count)
        progress.reached(offset)
        return partition

    def write_due(
        self, messages: Sequence[Received], waiting: Callable[[], int]
    ) -> Iterator[Sequence[tuple[int, Output]]]:
        """Writes checkpoints that are due, once a batch is committed; publishes nothing."""
        for number in sorted({message.partition for message in messages}):
            partition = self._partitions.get(number)
            if partition is None:  # heartbeats alone so far
                continue
            partition.committed = partition.position
            if self._recovery.is_due(number, partition.position):
                self._write({number: partition})
            yield ()

    def give_up(self) -> None:
        """Writes checkpoints of all partitions, which may be somebody else's from now on."""
        self._write(self._partitions)

    def _write(self, partitions: Mapping[int, RankedPartition]) -> None:
        states = [
            (number, partition, Point(partition.position, Mark.of(partition.last)))
            for number, partition in partitions.items()
            if partition.last is not None and partition.position == partition.committed
        ]
        asyncio.run(self._recovery.finish(states))

    def _count(self, changes: Sequence[Change]) -> None:
        metrics = self._metrics
        for _, record in changes:
            if record is None:
                metrics.returned.inc()
            elif isinstance(record, EdgeEpoch):
                metrics.requests.inc(record.requests)
                metrics.hits.inc(round(record.hit_ratio * record.requests))
                metrics.lru_hits.inc(round(record.lru_hit_ratio * record.requests))
                metrics.decayed_hits.inc(round((record.decayed_hit_ratio or 0) * record.requests))
                self._keep(record)
            else:
                metrics.decisions.inc()

    def _keep(self, record: EdgeEpoch) -> None:
        """Keeps the latest epoch of each edge that this worker has had."""
        latest = self._latest
        latest.pop(record.edge_id, None)
        if len(latest) >= self._settings.max_edges:
            del latest[next(iter(latest))]
        latest[record.edge_id] = record

    def _compare(self) -> None:
        """What obeying gains, over the epochs that are kept."""
        latest = self._latest.values()
        requests = sum(epoch.requests for epoch in latest)
        gained = sum(e.requests * (e.hit_ratio - e.lru_hit_ratio) for e in latest)
        self._metrics.gained.set(gained / max(1, requests))
        self._metrics.standing_down.set(sum(epoch.standing_down for epoch in latest))


def usable(value: bytes | None) -> EdgeWindow | DecodeError:
    """The window in a message's value, or what makes it unusable."""
    try:
        window = EDGE_WINDOWS.codec.decode(value)
    except DecodeError as error:
        return error
    reason = consistency.of_window(window)
    return window if reason is None else DecodeError(reason)


def _output(change: Change, message: Received, produced_at: float, traceparent: bytes) -> Output:
    value = None if change.record is None else CACHE_DECISIONS.codec.encode(change.record)
    return Output(
        CACHE_DECISIONS.name,
        change.key,
        value,
        round(produced_at * 1000),
        (
            ("event_timestamp", str(message.timestamp).encode()),
            (traces.TRACEPARENT, traceparent),
        ),
    )


def main(settings: Settings) -> None:
    """Runs the ranker until it is told to stop."""
    telemetry.setup(settings, ROLE)
    registry = CollectorRegistry()
    telemetry.serve(registry, settings)
    metrics = Metrics(registry)
    current, watch = _model(settings, registry)
    application = agents.Application(ROLE, settings, registry)

    def assigned() -> set[int]:
        return {source.partition for source in application.consumer.assignment()}

    read = partial(reread, settings, EDGE_WINDOWS)
    recovery = Recovery(EDGE_WINDOWS, settings.group(ROLE), settings, registry)
    compute = RankBatch(settings, current, read, assigned, metrics, recovery)
    application.consume(
        EDGE_WINDOWS, compute, size=WINDOWS_A_BATCH, wait=settings.forecast_wait,
        afterwards=compute.write_due, give_up=compute.give_up,
    )  # fmt: skip
    with watch:
        agents.run(application)


@contextmanager
def _followed(watch: ModelWatch, serving: Serving[LoadedRanker]) -> Iterator[None]:
    watch.start(serving)
    try:
        yield
    finally:
        watch.stop()


def _model(
    settings: Settings, metrics: CollectorRegistry
) -> tuple[Callable[[], MakeRanker], AbstractContextManager[None]]:
    """What makes rankers now, and what follows its updates while it is entered."""
    if settings.ranker == DECAYED:
        make = decayed(settings)
        return lambda: make, nullcontext()
    watch = ModelWatch(settings, settings.ranker)
    serving = of_ranker(settings, watch.updates, metrics)
    return lambda: serving.current().make, _followed(watch, serving)
