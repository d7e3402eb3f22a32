"""Measures what input costs that is sound or broken on purpose: whether time follows its length.

    python -m benchmarks.hostile [--json FILE]

The tracker on one cascade of a million events: milliseconds of processor time that a batch takes
when the cascade has had a tenth of them, and at the end. And each decoder and reader on what breaks
parsers: seconds for all of it, and the slowest of it. `tests/stream/test_hostile_shapes.py` and
`tests/test_hostile_input.py` see that the answers are right and that memory is bounded.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from stream.settings import Settings
from stream.tracker.role import TrackedPartition
from tests.fuzz.readers import READERS
from tests.stream.test_hostile_shapes import START, batches, shares
from tests.test_hostile_input import BREAKERS
from topics.catalogue import SOCIAL_EVENTS

EVENTS = 1_000_000


def hot_cascade() -> dict[str, float]:
    """Milliseconds a batch, by the median, in the second tenth of the cascade and in the last."""
    partition, spent = TrackedPartition(Settings()), []
    times = START + np.sort(np.random.default_rng(5).uniform(0, 36_000, EVENTS))
    for batch in batches(SOCIAL_EVENTS, shares("hot", times)):
        began = time.process_time()
        partition.process(batch)
        spent.append(1000 * (time.process_time() - began))
    tenth = len(spent) // 10
    early, late = np.median(spent[tenth : 2 * tenth]), np.median(spent[-tenth:])
    return {"early_ms": round(early, 2), "late_ms": round(late, 2), "ratio": round(late / early, 2)}


def broken(name: str) -> dict[str, Any]:
    """Seconds that a reader takes to refuse everything that breaks parsers."""
    reader, spent = READERS[name], {}
    reader(reader.seeds[0])  # compiled and imported
    for what, data in BREAKERS.items():
        began = time.process_time()
        reader(data)
        spent[what] = time.process_time() - began
    slowest = max(spent, key=lambda what: spent[what])
    return {"seconds": round(sum(spent.values()), 3), "slowest": slowest}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args()
    found = {"hot_cascade": hot_cascade(), "readers": {name: broken(name) for name in READERS}}
    text = json.dumps(found, indent=2)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
