"""What an ingest role does with one partition, and what it counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aiokafka import ConsumerRecord
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stream.checkpoints.recovery import Stateful
from stream.telemetry.notices import Noticed
from stream.workers.publishing.output import Output


class PartitionHandler(Stateful, Protocol):
    """What a role does with one partition. Its answers depend on the records alone."""

    # Totals since it was made; `accepted` and `dead_letters` among them.
    counters: dict[str, int]
    # What it noticed about its records and nobody has told yet, a kind once for each call.
    noticed: list[Noticed]

    def process(self, records: Sequence[ConsumerRecord]) -> list[Output]:
        """Takes in the next records of the partition, in order; dead letters are outputs too."""

    def idle(self, now: float) -> list[Output]:
        """Called while no record comes, with the wall clock in unix seconds."""


class Metrics:
    """What an ingest role exports."""

    def __init__(self, registry: CollectorRegistry, role: str) -> None:
        def name(what: str) -> str:
            return f"tidecast_{role}_{what}"

        self.records = Counter(name("records_total"), "Records taken in", registry=registry)
        self.results = Counter(
            name("results_total"), "What became of records", ["result"], registry=registry
        )
        self.outputs = Counter(
            name("outputs_total"), "Messages published", ["topic"], registry=registry
        )
        self.rebuilt = Counter(
            name("rebuilt_records_total"), "Records read to rebuild state", registry=registry
        )
        self.compute = Histogram(
            name("compute_seconds"), "Time in the handler, a batch", registry=registry
        )
        self.publish = Histogram(
            name("publish_seconds"), "Time until acknowledged and committed", registry=registry
        )
        self.partitions = Gauge(name("partitions"), "Partitions assigned", registry=registry)
        self.lag = Gauge(
            name("lag_records"), "Records behind the end", ["partition"], registry=registry
        )
