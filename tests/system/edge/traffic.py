"""Requests for tests of edges: a slice of a recorded trace, or traffic drawn where there is none.

A replay goes window by window, as time would: what was decided from the windows before is in force
when a window is served.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from models.caches.decayed import DecayedCountRanker
from models.data.requests import read_requests
from stream.historian.histories import EdgeHistories
from stream.ranker.decisions import Change, EdgeDecisions
from stream.settings import Settings
from tests.conftest import DATA
from topics.records import EdgeRequest

EDGE = "edge-0"
_TRACE = DATA / "requests" / "kuairand.csv.xz"
_OBJECTS = 3_000  # of drawn traffic
_DRIFT = 500  # requests after which one rank in twenty has changed hands
_RATE = 0.28  # requests a second, as in the recorded trace


class Traffic(NamedTuple):
    """Requests in order of time.

    Attributes:
        source: where they come from.
        past: before those that are served; what a ranker has seen that has run for a while.
        served: those that go through a server.
    """

    source: str
    past: list[EdgeRequest]
    served: list[EdgeRequest]


def traffic(past: int, served: int) -> Traffic:
    """As many requests for one edge; objects are named as a client would ask for them."""
    source, requests = _requests(past + served)
    return Traffic(source, requests[:past], requests[past:])


def _requests(count: int) -> tuple[str, list[EdgeRequest]]:
    if _TRACE.is_file():
        trace = read_requests(_TRACE)
        start = len(trace) // 4
        chosen = slice(start, start + count)
        names = [f"/v/{trace.object_ids[code]}.mp4" for code in trace.objects[chosen].tolist()]
        return "kuairand", _named(names, trace.timestamps[chosen].tolist())
    generator = np.random.default_rng(5)
    times = 1_700_000_000 + np.cumsum(generator.exponential(1 / _RATE, count))
    weights = 1 / np.arange(1, _OBJECTS + 1) ** 0.9
    ranks = generator.choice(_OBJECTS, count, p=weights / weights.sum())
    objects = np.arange(_OBJECTS)  # of each rank
    names = []
    for position, rank in enumerate(ranks.tolist()):
        if position % _DRIFT == 0:
            moved = generator.choice(_OBJECTS, _OBJECTS // 20, replace=False)
            objects[moved] = objects[generator.permutation(moved)]
        names.append(f"/v/{objects[rank]}.mp4")
    return "drawn traffic", _named(names, times.tolist())


def _named(names: Sequence[str], times: Sequence[float]) -> list[EdgeRequest]:
    return [EdgeRequest(EDGE, name, time) for name, time in zip(names, times, strict=True)]


def windows(requests: Sequence[EdgeRequest], length: float) -> list[list[EdgeRequest]]:
    """The requests of each window that has any."""
    return [list(group) for _, group in groupby(requests, lambda r: r.timestamp // length)]


class Decider:
    """Historian and ranker without their processes: requests in, changes of decisions out."""

    def __init__(self, settings: Settings) -> None:
        self._histories = EdgeHistories(settings)
        self._decisions = EdgeDecisions(EDGE, DecayedCountRanker(settings.cache_objects), settings)

    def changes(self, requests: Sequence[EdgeRequest], wall: float) -> Iterator[Change]:
        """What changes at the edge as the requests close earlier windows."""
        received = np.full(len(requests), wall)
        for closed in self._histories.ingest(requests, received).closed:
            yield from self._decisions.step(closed.window, wall)
