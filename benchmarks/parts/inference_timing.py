"""What the parts of `inference.py` share: made-up snapshots, and taking times."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.datasets import ROOT, Cascade, snapshot_at
from topics.records import CascadeSnapshot

Report = dict[str, Any]
Call = Callable[[], Any]

AGE = 1_800.0  # seconds, of all snapshots
KINDS = ("even", "live")


def snapshot_of(
    number: int, parents: NDArray[np.int64], rng: np.random.Generator
) -> CascadeSnapshot:
    """A snapshot at `AGE` of a made-up cascade, each event by a user of its own."""
    delays = np.append(0.0, np.sort(AGE * rng.random(len(parents) - 1) ** 2))
    users = [str(user) for user in range(len(parents))]
    published_at = 1.5e9 + 60 * number
    cascade = Cascade(str(number), "0", published_at, users, parents.astype(np.int32), delays)
    return snapshot_at(cascade, AGE)


def made_up(kind: str, count: int) -> list[CascadeSnapshot]:
    """Snapshots of random trees of the sizes of a kind, one of `KINDS`."""
    rng = np.random.default_rng(0)
    if kind == "even":
        sizes = np.exp(rng.uniform(np.log(10), np.log(2_000), count)).astype(int)
    else:
        sizes = 10 * 2 ** np.minimum(rng.geometric(0.5, count) - 1, 8)
    trees_ = [np.append(ROOT, (rng.random(n - 1) * np.arange(1, n)).astype(int)) for n in sizes]
    return [snapshot_of(number, parents, rng) for number, parents in enumerate(trees_)]


def in_turns(calls: dict[Any, Call], rounds: int) -> dict[Any, list[float]]:
    """Seconds of each call in each round, after one that does not count."""
    seconds: dict[Any, list[float]] = {key: [] for key in calls}
    for number in range(rounds + 1):
        for key, call in calls.items():
            began = time.perf_counter()
            call()
            if number:
                seconds[key].append(time.perf_counter() - began)
    return seconds


def least_seconds(call: Call, rounds: int) -> float:
    """Of the thread, the least of some rounds after one that does not count."""
    call()
    least = np.inf
    for _ in range(5 * rounds):
        began = time.thread_time()
        call()
        least = min(least, time.thread_time() - began)
    return least
