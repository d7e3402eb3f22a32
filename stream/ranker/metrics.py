"""What the ranker exports, and what obeying it gains."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from stream.ranker.decisions import Change
from stream.settings import Settings
from stream.telemetry.families import Families
from topics.records import EdgeEpoch


class Metrics:
    """What the ranker exports."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        families = Families("ranker", registry)
        counter, gauge, seconds = families.counter, families.gauge, families.seconds
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
        self.gained = gauge(
            "hit_ratio_gained",
            "Hit ratio of obeying caches less that of LRU, over the latest epoch of every edge",
        )
        self.standing_down = gauge(
            "edges_standing_down",
            "Edges that get no decisions because obeying them gained nothing lately",
        )
        self.compute = seconds("compute", "Time to answer a batch")
        self.queue = seconds("queue", "From the request's Kafka timestamp to the batch's start")
        self.edges = gauge("edges", "Edges known")
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
