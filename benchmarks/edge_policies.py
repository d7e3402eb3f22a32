"""What an edge should do with objects that no decision is about, on a recorded trace.

    python benchmarks/edge_policies.py TRACE [--share 0.05] [--window 300] [--json FILE]

The trace goes through windows into decisions, and beside them through caches of one capacity that
evict what was used longest ago, as servers do, and differ in what they store:

    lru             everything: no decisions
    admitted        what a decision admits, nothing else
    burst F         and what is requested so often within a window as F times the least kept rate,
                    and 8 times at least: nginx with `edge_burst` F
    rest P, T       and everything else in a part P of the capacity, for T seconds: Varnish
    second request  and whatever is requested again within the window: as a cache with `min_uses`

Hit ratios are of the second half of the trace.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter, OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track

from models.caches.decayed import DecayedCountRanker
from models.data.datasets import RequestTrace
from models.data.requests import read_requests
from stream.historian.histories import EdgeHistories
from stream.ranker.decisions import EdgeDecisions
from stream.settings import Duration, Settings
from topics.records import CacheDecision, EdgeRequest

LEAST_BURST = 8


class Lru:
    """A cache that evicts what was used longest ago; what it holds may end before that."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._ends: OrderedDict[str, float] = OrderedDict()

    def hit(self, name: str, now: float) -> bool:
        if self._ends.get(name, 0.0) <= now:
            return False
        self._ends.move_to_end(name)
        return True

    def store(self, name: str, end: float = math.inf) -> None:
        self._ends[name] = end
        self._ends.move_to_end(name)
        if len(self._ends) > self._capacity:
            self._ends.popitem(last=False)


class Advice:
    """The decisions in force, and what has been requested since they were made."""

    def __init__(self, settings: Settings) -> None:
        self._histories = EdgeHistories(settings)
        ranker = DecayedCountRanker(settings.cache_objects, max_objects=settings.max_objects)
        self._decisions = EdgeDecisions("edge", ranker, settings)
        self.in_force: dict[str, CacheDecision] = {}
        self.requests: Counter[str] = Counter()
        self.floor = 0.0  # expected requests a window of the least that is kept

    def window(self, requests: Sequence[EdgeRequest]) -> None:
        """A window begins: the requests that it will have close the one before."""
        received = np.full(len(requests), 4e9)
        for closed in self._histories.ingest(requests, received).closed:
            for key, record in self._decisions.step(closed.window, 0.0):
                if isinstance(record, CacheDecision):
                    self.in_force[record.object_id] = record
                elif record is None:
                    self.in_force.pop(msgspec.json.decode(key)[1], None)
            now = closed.window.start + closed.window.length
            for name in [n for n, one in self.in_force.items() if one.expires_at <= now]:
                del self.in_force[name]
        self.requests.clear()
        scores = [decision.score for decision in self.in_force.values()]
        self.floor = math.exp(min(scores)) if scores else 0.0


class Policy:
    """A cache, and what it stores.

    Args:
        factor: of the burst; infinite for none.
        least: requests in a window that make a burst at least.
        rest: objects of the store for what no decision is about.
        life: seconds for which they stay there.
        advised: False for a cache that stores everything.
    """

    def __init__(
        self, capacity: int, factor: float = math.inf, least: int = LEAST_BURST, rest: int = 0,
        life: float = 60.0, advised: bool = True,
    ) -> None:  # fmt: skip
        self._main, self._rest = Lru(capacity - rest), Lru(rest) if rest else None
        self._factor, self._least, self._life, self._advised = factor, least, life, advised
        self.hits = 0

    def request(self, name: str, now: float, advice: Advice) -> bool:
        if self._main.hit(name, now) or (self._rest is not None and self._rest.hit(name, now)):
            return True
        burst = max(self._least, self._factor * advice.floor)
        if not self._advised or name in advice.in_force or advice.requests[name] >= burst:
            self._main.store(name)
        elif self._rest is not None:
            self._rest.store(name, now + self._life)
        return False


def windows(trace: RequestTrace, length: float) -> list[list[EdgeRequest]]:
    """The requests of each window that has any."""
    names = [trace.object_ids[code] for code in trace.objects.tolist()]
    numbers = np.floor_divide(trace.timestamps, length)
    cuts = np.flatnonzero(np.diff(numbers)) + 1
    requests = [
        EdgeRequest("edge", name, time)
        for name, time in zip(names, trace.timestamps.tolist(), strict=True)
    ]
    edges = [0, *cuts.tolist(), len(requests)]
    return [requests[a:b] for a, b in pairwise(edges)]


def hit_ratios(trace: RequestTrace, capacity: int, length: float) -> dict[str, float]:
    """Of each policy, over the second half."""
    small = max(1, round(0.02 * capacity))
    policies = {
        "lru": Policy(capacity, advised=False),
        "admitted": Policy(capacity),
        "burst 4": Policy(capacity, factor=4),
        "rest 0.02, 60 s": Policy(capacity, rest=small),
        "rest 0.10, 60 s": Policy(capacity, rest=max(1, round(0.1 * capacity))),
        "second request": Policy(capacity, factor=0.0, least=2),
    }
    advice = Advice(Settings(window=Duration(length), cache_objects=capacity, allowed_lateness=0.0))
    served, half = 0, len(trace) // 2
    console = Console(stderr=True)
    for window in track(windows(trace, length), "windows", console=console, transient=True):
        advice.window(window)
        for request in window:
            advice.requests[request.object_id] += 1
            for policy in policies.values():
                hit = policy.request(request.object_id, request.timestamp, advice)
                policy.hits += hit and served >= half
            served += 1
    return {name: round(p.hits / (served - half), 4) for name, p in policies.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace", type=Path, help="requests: CSV, plain, .gz, .bz2 or .xz")
    parser.add_argument("--share", type=float, default=0.05, help="capacity, of the objects")
    parser.add_argument("--window", type=Duration.parse, default=Duration(300))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    trace = read_requests(arguments.trace)
    capacity = max(1, round(arguments.share * len(trace.object_ids)))
    report: dict[str, Any] = {
        "requests": len(trace),
        "capacity": capacity,
        "window": float(arguments.window),
        "hit_ratio": hit_ratios(trace, capacity, float(arguments.window)),
    }
    print(json.dumps(report, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
