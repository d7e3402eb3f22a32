"""A batch of windows answered: decisions about each edge's cache, and dead letters.

All decisions about an edge go to the partition that Kafka's default partitioner gives the edge's
id, so a reader of one edge follows one partition. They carry the header `event_timestamp`, the
Kafka timestamp (milliseconds) of the request that closed the window.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from stream.kafka.partitions import partition_hash
from stream.ranker.decisions import Change
from stream.ranker.edges import usable
from stream.ranker.held import HeldPartitions
from stream.ranker.metrics import Metrics
from stream.settings import Settings
from stream.telemetry import traces
from stream.workers.agents import Received, passed_by_partition
from stream.workers.publishing.output import Output, dead_letter
from topics.catalogue import CACHE_DECISIONS
from topics.codecs import DecodeError
from topics.heartbeat import is_heartbeat

log = logging.getLogger(__name__)

ROLE = "ranker"


class RankBatch:
    """Turns a batch of messages into decisions and dead letters.

    Args:
        settings: when a batch is late.
        held: the partitions that the messages are of.
        metrics: what it counts.
    """

    def __init__(self, settings: Settings, held: HeldPartitions, metrics: Metrics) -> None:
        self._settings = settings
        self._held = held
        self._metrics = metrics
        self._late = False

    def __call__(self, messages: Sequence[Received]) -> list[tuple[int, Output]]:
        """The outputs of the messages, each beside the number that decides its partition."""
        metrics, now = self._metrics, time.time()
        self._held.settle()
        outputs: list[tuple[int, Output]] = []
        with metrics.compute.time():
            for message in messages:
                if is_heartbeat(message):
                    self._held.pass_over(message)
                    outputs += passed_by_partition([message], CACHE_DECISIONS)
                    continue
                metrics.windows.inc()
                metrics.queue.observe(max(0.0, now - message.timestamp / 1000))
                outputs += self._answer(message)
            if self._is_late(messages, now):
                outputs = self._newest(outputs)
        metrics.edges.set(self._held.edges)
        metrics.compare()
        return outputs

    def _answer(self, message: Received) -> list[tuple[int, Output]]:
        partition = self._held.up_to(message.partition, message.offset)
        partition.position, partition.last = message.offset + 1, message
        window = usable(message.value)
        if isinstance(window, DecodeError):
            self._metrics.dead_letters.inc()
            letter = dead_letter(message, ROLE, DecodeError.__name__, str(window))
            return [(message.partition, letter)]
        produced_at = time.time()
        changes = partition.step(window, produced_at)
        number = partition_hash(window.edge_id.encode()) if changes else 0
        self._metrics.count(changes)
        traceparent = traces.of(message.headers, window.window_id)
        if log.isEnabledFor(logging.DEBUG) and changes:
            log.debug(
                "edge %s, epoch %d: %d records", window.edge_id, window.epoch, len(changes),
                extra={"trace_id": traces.trace_id(traceparent)},
            )  # fmt: skip
        return [(number, _output(change, message, produced_at, traceparent)) for change in changes]

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
