"""Measures what cascades and their events take in memory.

    python benchmarks/cascade_memory.py

Prints JSON:

    bytes_per_event      what 5,000 cascades of 400 events take beyond as many of 8, an event
    bytes_per_cascade    what a million cascades of 5 events take, less the price of their events,
                         a cascade
    million_cascades_bytes    what that million takes

Each is what the resident set of the process has grown by when the store has taken them in: with
their names, hash table and timers, and with what freed memory the process has not given back.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import psutil

from stream.cascades import CascadeStore
from stream.settings import Settings
from topics.records import SocialEvent

BATCH = 4_000
SHORT, LONG = 8, 400  # events a cascade, both whole chunks


def main() -> None:
    grown_by(1_000, LONG)  # what the first store leaves, whatever it holds
    cascades = 5_000
    an_event = (grown_by(cascades, LONG) - grown_by(cascades, SHORT)) / (cascades * (LONG - SHORT))
    million = grown_by(1_000_000, 5)
    report = {
        "bytes_per_event": an_event,
        "bytes_per_cascade": million / 1_000_000 - 5 * an_event,
        "million_cascades_bytes": million,
    }
    print(json.dumps(report))


def grown_by(cascades: int, events: int) -> int:
    """Bytes of resident memory that a store of so many cascades of so many events takes."""
    process = psutil.Process()
    before = process.memory_info().rss
    store = CascadeStore(Settings())
    received = np.full(BATCH, 1e9)
    for j in range(events):
        for start in range(0, cascades, BATCH):
            batch = [
                SocialEvent(f"cascade-{i:012d}", f"{i}:{j}", f"user-{i}", 1_000.0 + j, "share")
                for i in range(start, min(start + BATCH, cascades))
            ]
            store.ingest(batch, received[: len(batch)])
    after: int = process.memory_info().rss
    if store.kept != cascades * events:
        sys.exit(f"the store kept {store.kept} of {cascades * events} events")
    return after - before


if __name__ == "__main__":
    main()
