"""What one window costs a neural ranker, by the length of the histories.

    python benchmarks/ranking.py [--objects 100000] [--requested 0.05]
                                 [--histories 64,512,4096] [--rounds 5] [--json FILE]

An edge with so many objects, of which a share is requested once in a window; each of those has
been stepped as often before as `history` says. Timed are the networks' steps for the objects that
were requested, which come every 200 requests, and new scores for all objects.

    cachemamba    carries a state of fixed size on from window to window
    transformer   of equal width; keeps the keys and values of the history and attends to all

The memory of the Transformer would not fit (column `memory`: that of all objects), so its step
is that of 200 objects, times the steps of a window; the scoring is the same for both. FLOPs
count a multiplication and an addition as two, an exponential as one, and are those of the networks
for one window. Seconds are medians, on as many threads as OMP_NUM_THREADS says.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from models.caches.model import RANKERS
from models.caches.networks.cachemamba import CacheMambaNetwork
from models.caches.networks.rank_transformer import TransformerNetwork
from models.caches.networks.ranker import RankerNetwork
from models.caches.neural import NeuralCache
from models.caches.request_history import TAUS, WIDTH
from models.caches.stepper import HORIZONS, Config, Memory, Stepper

_AGED = 50  # objects whose histories are gone through; the others are copies of them
KINDS: dict[str, Callable[[Config], RankerNetwork]] = {
    "cachemamba": CacheMambaNetwork,
    "transformer": TransformerNetwork,
}


def flops(name: str, config: Config) -> int:
    """Of one step of one object."""
    width, answers = config.width, len(HORIZONS) * len(TAUS)
    ends = 2 * WIDTH * width + 2 * width * answers
    if name == "cachemamba":
        inner, rank = 2 * width, -(-width // 16)
        mixing = 2 * width * 2 * inner + 2 * 4 * inner + 2 * inner * (rank + 2 * config.state)
        scan = inner * config.state * 8  # exp, decay, input, output
        return ends + config.layers * (mixing + 2 * rank * inner + scan + 2 * inner * width)
    around = 2 * width * 3 * width + 2 * width * width + 2 * 2 * width * 4 * width
    return ends + around + config.history * (2 * 2 * width + 6)


def memory(network: Stepper, objects: int) -> int:
    """Bytes of what is kept of all objects."""
    return sum(part[0].nbytes for part in network.start(1)) * objects


def asked(objects: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features of as many objects, and thousands of requests since each one's step before."""
    features = np.random.default_rng(0).normal(size=(objects, WIDTH)).astype(np.float32)
    return features, np.full(objects, 20.0, np.float32)


def aged(network: Stepper, history: int, title: str) -> Memory:
    """The memory of `_AGED` objects that came up in so many windows."""
    features, elapsed = asked(_AGED)
    kept = network.start(_AGED)
    for _ in track(range(history), title, console=Console(stderr=True), transient=True):
        kept = network.step(features, kept, elapsed)[1]
    return kept


def median(
    call: Callable[[], object], rounds: int, before: Callable[[], object] = lambda: None
) -> float:
    """Seconds of a call, the first aside; what has to come before each is not timed."""
    times = []
    for _ in range(rounds + 1):
        before()
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def edge(network: Stepper, objects: int) -> NeuralCache:
    """A cache that knows all objects."""
    cache = NeuralCache(network, objects // 20)
    cache.replay(np.arange(objects))
    cache._follows[-1] = len(TAUS)  # a mixture is in force, whose scores cost more
    return cache


def measure(name: str, history: int, objects: int, requested: int, rounds: int) -> dict[str, Any]:
    """One row of the result."""
    torch.manual_seed(0)
    config = Config(history=history)
    network = RANKERS[name].of(KINDS[name](config)).stepper
    codes, everything = np.arange(requested), np.arange(objects)
    cache = edge(RANKERS["cachemamba"].of(CacheMambaNetwork(config)).stepper, objects)
    title = f"{name}, history {history}"
    if name == "cachemamba":
        kept = aged(network, history, title)
        for part, rows in zip(cache._memory, kept, strict=True):
            part[:requested] = rows[codes % _AGED]

        def window() -> None:
            cache.replay(codes)
            cache.log_shares(everything)

        seconds = median(window, rounds)
    else:
        scoring = median(lambda: cache.log_shares(everything), rounds)
        features, elapsed = asked(config.every)
        kept = network.start(config.every)  # what it holds makes it neither slower nor faster
        step = median(lambda: network.step(features, kept, elapsed), rounds)
        seconds = scoring + step * requested / config.every
    return {
        "history": history,
        "seconds": round(seconds, 4),
        "flops": flops(name, config) * requested,
        "memory": memory(network, objects),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--requested", type=float, default=0.05)
    parser.add_argument("--histories", default="64,512,4096")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    told = parser.parse_args()
    requested = max(1, int(told.requested * told.objects))
    histories = [int(word) for word in told.histories.split(",")]
    found = {
        name: [measure(name, h, told.objects, requested, told.rounds) for h in histories]
        for name in KINDS
    }
    table = Table(title=f"one window: {told.objects:,} objects, {requested:,} of them requested")
    for column in ("ranker", "history", "seconds", "GFLOP", "memory, GB"):
        table.add_column(column, justify="left" if column == "ranker" else "right")
    for name, rows in found.items():
        for row in rows:
            table.add_row(
                name, f"{row['history']:,}", f"{row['seconds']:.3f}", f"{row['flops'] / 1e9:.3f}",
                f"{row['memory'] / 1e9:.2f}",
            )  # fmt: skip
    Console(width=100).print(table)
    text = json.dumps(found, indent=2)
    if told.json:
        told.json.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
