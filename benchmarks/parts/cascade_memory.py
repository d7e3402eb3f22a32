"""Measures what the tracker's store takes for so many cascades of so many events each.

    python benchmarks/parts/cascade_memory.py CASCADES EVENTS

Prints JSON: `bytes`, by which the resident set of this process has grown when the store holds
them. That is with names, hash table and timers, and with memory that was freed and not given back.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import numpy as np
import psutil

from stream.settings import Settings
from stream.tracker.store import CascadeStore
from topics.records import SocialEvent

BATCH = 4_000
PUBLISHED = 1_577_836_800.0


def main() -> None:
    cascades, events = map(int, sys.argv[1:])
    filled(10, 400)  # what a first store takes, whatever it holds
    process = psutil.Process()
    before = process.memory_info().rss
    store = filled(cascades, events)
    after = process.memory_info().rss
    if store.kept != cascades * events:
        sys.exit(f"the store kept {store.kept} of {cascades * events} events")
    print(json.dumps({"bytes": after - before}))


def filled(cascades: int, events: int) -> CascadeStore:
    """A store that holds them all, as if none of them were older than a second."""
    store = CascadeStore(Settings(max_cascades=cascades))
    for batch in batches(cascades, events):
        store.ingest(batch, np.full(len(batch), PUBLISHED + 1))
    return store


def batches(cascades: int, events: int) -> Iterator[list[SocialEvent]]:
    """Cascade after cascade, so that no more than a few reach a trigger in one batch."""
    batch: list[SocialEvent] = []
    for number in range(cascades):
        name = f"cascade-{number:012d}"
        batch += [
            SocialEvent(name, f"{name}:{j}", f"user-{j}", PUBLISHED + j / events, "share")
            for j in range(events)
        ]
        if len(batch) >= BATCH or number == cascades - 1:
            yield batch
            batch = []


if __name__ == "__main__":
    main()
