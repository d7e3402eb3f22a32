"""What decisions are worth on a recorded trace of requests, and what making them costs.

    python benchmarks/decisions.py TRACE [--share 0.05] [--window 300] [--edges 1]
                                   [--margins 0,0.2] [--json FILE]

The requests go through the historian's windows into the ranker's decisions, no broker between.
Hit ratios are over the whole trace, all caches of one fixed capacity an edge:

    lru         least recently used
    live        decayed counts, updated at each request: what decisions, a window late, aim at
    obeying     a cache that follows the decisions, at each margin; beside it what was sent

Times are CPU time: of the historian a request (decoding and encoding included), of the decisions
a window, and a window of 20,000 requests for 10,000 of 100,000 objects.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from aiokafka import ConsumerRecord
from rich.console import Console
from rich.progress import track

from models.caches.decayed import DecayedCountRanker
from models.caches.scorecache import AdvisedCache
from models.caches.tuned import TunedCache
from models.data.datasets import RequestTrace
from models.data.requests import read_requests
from stream.historian.role import EdgePartition
from stream.ranker import decisions
from stream.ranker.decisions import EdgeDecisions
from stream.settings import Duration, Settings
from topics.catalogue import EDGE_REQUESTS, EDGE_WINDOWS
from topics.records import CacheDecision, EdgeEpoch, EdgeRequest, EdgeWindow

BATCH = 4_000
OBJECTS, REQUESTS = 100_000, 20_000  # of the large edge


def log_of(trace: RequestTrace, edges: int) -> list[ConsumerRecord]:
    """The trace as the historian reads it, clients spread over the edges."""
    records = []
    ids = trace.object_ids
    columns = (trace.objects.tolist(), trace.clients.tolist(), trace.timestamps.tolist())
    for offset, (code, client, timestamp) in enumerate(zip(*columns, strict=True)):
        value = EDGE_REQUESTS.codec.encode(EdgeRequest(f"{client % edges}", ids[code], timestamp))
        milliseconds = int(timestamp * 1000) + 1
        records.append(
            ConsumerRecord(
                EDGE_REQUESTS.name, 0, offset, milliseconds, 0, None, value, None, 0, len(value), ()
            )
        )
    return records


def windows_of(records: Sequence[ConsumerRecord], settings: Settings) -> tuple[list[bytes], float]:
    """The windows that the historian closes, and its seconds a request."""
    partition = EdgePartition(settings)
    started = time.process_time()
    values = [
        output.value
        for start in range(0, len(records), BATCH)
        for output in partition.process(records[start : start + BATCH])
        if output.value is not None and output.topic == EDGE_WINDOWS.name
    ]
    return values, (time.process_time() - started) / len(records)


def decide(values: Sequence[bytes], settings: Settings, margin: float) -> dict[str, Any]:
    """Decides on the windows; counts what is sent and what an obeying cache gains."""
    decisions.MARGIN = margin
    edges: dict[str, EdgeDecisions] = {}
    sent: list[Any] = []
    started = time.process_time()
    for value in track(values, f"margin {margin:g}", console=Console(stderr=True), transient=True):
        window = EDGE_WINDOWS.codec.decode(value)
        edge = edges.get(window.edge_id)
        if edge is None:
            ranker = DecayedCountRanker(settings.cache_objects, max_objects=settings.max_objects)
            edge = edges[window.edge_id] = EdgeDecisions(window.edge_id, ranker, settings)
        sent += [record for _, record in edge.step(window, 0.0)]
    seconds = time.process_time() - started
    epochs = [record for record in sent if isinstance(record, EdgeEpoch)]
    weights = [epoch.requests for epoch in epochs]
    return {
        "margin": margin,
        "obeying": np.average([epoch.hit_ratio for epoch in epochs], weights=weights),
        "decisions": sum(isinstance(record, CacheDecision) for record in sent),
        "returned": sum(record is None for record in sent),
        "windows_a_second": len(values) / seconds,
    }


def replayed(trace: RequestTrace, edges: int, capacity: int) -> dict[str, float]:
    """Hit ratios of the caches that need no decisions."""
    hits = {"lru": 0, "live": 0}
    for edge in range(edges):
        objects = trace.objects[trace.clients % edges == edge]
        hits["lru"] += int(AdvisedCache(capacity).replay(objects).sum())
        hits["live"] += int(TunedCache(capacity).replay(objects).sum())
    return {name: count / len(trace) for name, count in hits.items()}


def large_edge_seconds() -> float:
    """CPU seconds of one window at an edge that knows 100,000 objects."""
    generator = np.random.default_rng(0)
    edge = EdgeDecisions("large", DecayedCountRanker(), Settings())
    edge.step(_window(0, generator.permutation(OBJECTS)), 0.0)
    chance = 1 / np.arange(1, OBJECTS + 1) ** 0.9
    windows = [
        _window(epoch, generator.choice(OBJECTS, REQUESTS, p=chance / chance.sum()))
        for epoch in range(1, 11)
    ]
    started = time.process_time()
    for window in windows:
        edge.step(window, 0.0)
    return (time.process_time() - started) / len(windows)


def _window(epoch: int, codes: np.ndarray) -> EdgeWindow:
    used, order, counts = np.unique(codes, return_inverse=True, return_counts=True)
    return EdgeWindow(
        edge_id="large",
        start=epoch * 300.0,
        length=300.0,
        part=0,
        parts=1,
        objects=[f"/videos/object-{code:07d}" for code in used],
        count=counts.astype("<i4").tobytes(),
        size=np.zeros(used.size, "<i8").tobytes(),
        order=order.astype("<i4").tobytes(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace", type=Path, help="requests: CSV, plain, .gz, .bz2 or .xz")
    parser.add_argument("--share", type=float, default=0.05, help="capacity, of the objects")
    parser.add_argument("--window", type=Duration.parse, default=Duration(300))
    parser.add_argument("--edges", type=int, default=1)
    parser.add_argument("--margins", default="0,0.2")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    trace = read_requests(arguments.trace)
    capacity = max(1, round(arguments.share * len(trace.object_ids)))
    settings = Settings(window=arguments.window, cache_objects=capacity)
    values, historian = windows_of(log_of(trace, arguments.edges), settings)
    report = {
        "requests": len(trace),
        "windows": len(values),
        "capacity": capacity,
        "historian_microseconds": historian * 1e6,
        "hit_ratio": replayed(trace, arguments.edges, capacity),
        "decided": [
            decide(values, settings, float(margin)) for margin in arguments.margins.split(",")
        ],
        "large_edge_seconds": large_edge_seconds(),
    }
    print(json.dumps(report, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
