"""What an edge agent exports."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry

from stream.edge.table import EdgeTable
from stream.telemetry.families import Families
from stream.workers.heartbeats import Passed


class Metrics:
    """Counters of the agent's parts, and gauges that are read off the table when asked for."""

    def __init__(self, registry: CollectorRegistry, table: EdgeTable) -> None:
        self.registry = registry

        families = Families("edge_agent", registry)
        counter, gauge = families.counter, families.gauge
        self.heartbeats = Passed("edge-agent", registry)
        self.records = counter("records", "Records about this edge taken in")
        self.bad_records = counter("bad_records", "Records about this edge that do not decode")
        self.look_ups = counter("look_ups", "Objects looked up")
        self.changes = counter("changes", "Changes told to the cache")
        self.refused = counter("refused", "Requests to the agent beyond its bounds")
        self.prefetched = counter("prefetched", "Objects prefetched")
        self.prefetch_failures = counter("prefetch_failures", "Prefetches that failed")
        self.unaddressable = counter("unaddressable", "Decisions on what is not a request's target")
        self.filled = counter("filled", "Changes that Varnish was told")
        self.fill_failures = counter("fill_failures", "Times that Varnish could not be told")

        def of_table(name: str, what: str, value: object) -> None:
            gauge(name, what).set_function(value)  # type: ignore[arg-type]

        of_table("decisions", "Decisions in force", lambda: len(table))
        of_table("dropped_decisions", "Decisions beyond the bound", lambda: table.dropped)
        of_table("version", "Of the table", lambda: table.version)
        of_table("epoch", "Number of the latest epoch; -1: none", lambda: table.clock.epoch)
        of_table(
            "staleness_seconds",
            "Since the latest epoch was closed",
            lambda: table.clock.staleness(time.time()),
        )
        of_table(
            "obeying",
            "1 while decisions are to be obeyed",
            lambda: float(table.obeying(time.time())),
        )
