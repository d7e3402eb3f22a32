"""What the ranker exports, and what obeying it gains."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stream.ranker.decisions import Change
from stream.settings import Settings
from topics.records import EdgeEpoch

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class Metrics:
    """What the ranker exports."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
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
        self._max_edges = settings.max_edges
        self._latest: dict[str, EdgeEpoch] = {}  # of each edge, the one silent longest first

    def count(self, changes: Sequence[Change]) -> None:
        """Counts what changes after a window."""
        for _, record in changes:
            if record is None:
                self.returned.inc()
            elif isinstance(record, EdgeEpoch):
                self.requests.inc(record.requests)
                self.hits.inc(round(record.hit_ratio * record.requests))
                self.lru_hits.inc(round(record.lru_hit_ratio * record.requests))
                self.decayed_hits.inc(round((record.decayed_hit_ratio or 0) * record.requests))
                self._keep(record)
            else:
                self.decisions.inc()

    def _keep(self, record: EdgeEpoch) -> None:
        """Keeps the latest epoch of each edge that this worker has had."""
        latest = self._latest
        latest.pop(record.edge_id, None)
        if len(latest) >= self._max_edges:
            del latest[next(iter(latest))]
        latest[record.edge_id] = record

    def compare(self) -> None:
        """Tells what obeying gains, over the epochs that are kept."""
        latest = self._latest.values()
        requests = sum(epoch.requests for epoch in latest)
        gained = sum(e.requests * (e.hit_ratio - e.lru_hit_ratio) for e in latest)
        self.gained.set(gained / max(1, requests))
        self.standing_down.set(sum(epoch.standing_down for epoch in latest))
