"""The open windows of one partition's edges, and the clock that closes them.

`EdgeHistories.ingest` takes a batch of requests in the order of the log and answers with the
windows it closed. What it answers depends on the log alone, not on where batches end.

Rules
    window     number floor(time / length) since 1970, for each edge; one without requests is
               never published.
    watermark  how far event time has come (`stream.workers.event_clock`), less the allowed
    lateness. A
               window is closed, and published once, when the watermark has reached its end.
    order      requests keep the order in which they arrived.
    late       a request whose window is closed counts in the first window that is not, so that
               every request is counted once and nothing published is ever contradicted. One that
               is more than `max_lateness` behind the watermark is refused (`TOO_OLD`): an older
               log would be counted as what is asked for now.
    future     a request later than it can be (`stream.workers.stamps`, and the clock skew) is
    refused. bounds     requests beyond the bounds of objects and requests a window are dropped and
    counted. repeats    a request carries no id, so one that was sent twice is counted twice.
    idle       with `idle_advance` set, event time is taken to be never further than that behind
               the Kafka timestamps: a live deployment's option, off where old logs are replayed.

An edge belongs to one partition: requests are keyed by it. As long as requests are out of order
by no more than the allowed lateness, its windows do not depend on what else is in the partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.checkpoints.content import Arrays
from stream.historian.window import OpenWindow
from stream.settings import Settings
from stream.workers.event_clock import EventClock
from topics.records import EdgeRequest, EdgeWindow

_PAIR = attrgetter("edge_id", "object_id")
_TIMESTAMP = attrgetter("timestamp")
_SIZE = attrgetter("size")
_HIT = attrgetter("hit")


class Verdict(IntEnum):
    """What became of a request."""

    ACCEPTED = 0
    LATE = 1  # accepted into a later window
    DROPPED = 2  # beyond a bound
    TOO_OLD = 3
    IN_FUTURE = 4


class Closed(NamedTuple):
    """A window that a batch closed, and the position in the batch of the request that did."""

    window: EdgeWindow
    cause: int


class Ingested(NamedTuple):
    """What became of a batch: a `Verdict` for each request, and the windows closed, in order."""

    verdicts: NDArray[np.int8]
    closed: list[Closed]


class EdgeHistories:
    """The open windows of one partition. Not safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._windows: dict[int, OpenWindow] = {}
        self._clock = EventClock(settings, 0.0)
        self._first_open = 0  # number of the first window that is not closed

    @property
    def watermark(self) -> float:
        """Event time, unix seconds, up to which windows are closed."""
        return self._clock.watermark

    @property
    def open_windows(self) -> int:
        """Windows with requests that are not closed yet, all edges' at one time being one."""
        return len(self._windows)

    def save(self) -> dict[str, NDArray[Any]]:
        """A copy of all that the answers depend on, for `restore`."""
        arrays = {
            "first_open": np.array([self._first_open]),
            "numbers": np.array(list(self._windows), np.int64),
        }
        arrays |= self._clock.save()
        for number, window in self._windows.items():
            arrays |= {f"{number}.{name}": array for name, array in window.save().items()}
        return arrays

    def restore(self, arrays: Arrays) -> None:
        """Makes histories of the same settings, empty ones, answer as those that were saved."""
        self._clock.restore(arrays)
        self._first_open = int(arrays["first_open"][0])
        for number in arrays["numbers"].tolist():
            self._windows[number] = window = OpenWindow(number, self._settings)
            own = f"{number}."
            window.restore(
                {
                    name.removeprefix(own): array
                    for name, array in arrays.items()
                    if name.startswith(own)
                }
            )

    def ingest(self, requests: Sequence[EdgeRequest], latest: NDArray[np.float64]) -> Ingested:
        """Takes in a batch in the order of the log.

        Args:
            requests: valid records.
            latest: unix seconds by which each has happened (`stream.workers.stamps`), shape
                (len(requests),); a request later than that (and the clock skew) is refused.
        """
        count = len(requests)
        if not count:
            return Ingested(np.zeros(0, np.int8), [])
        settings = self._settings
        times = np.fromiter(map(_TIMESTAMP, requests), np.float64, count)
        believed = times <= latest + settings.clock_skew
        wall = np.full(count, -np.inf)
        if settings.idle_advance > 0:
            # A request's own Kafka timestamp counts before it does, as `advance` would have.
            wall = np.where(believed, latest - settings.idle_advance, -np.inf)
        earlier, clock = self._clock.take(times, believed, wall)
        before, first_open = self._closed_before(earlier), self._closed_before(clock)
        numbers = np.floor_divide(times, settings.window).astype(np.int64)
        verdicts = np.where(numbers < before, Verdict.LATE, Verdict.ACCEPTED).astype(np.int8)
        too_old = times < earlier - settings.allowed_lateness - settings.max_lateness
        verdicts[too_old] = Verdict.TOO_OLD
        verdicts[~believed] = Verdict.IN_FUTURE
        self._add(requests, np.maximum(numbers, before), verdicts)
        self._first_open = int(first_open[-1])
        closed = [
            Closed(window, int(np.searchsorted(first_open, number, side="right")))
            for number, window in self._close()
        ]
        return Ingested(verdicts, closed)

    def advance(self, now: float) -> list[EdgeWindow]:
        """Closes what is due while no request comes, with `idle_advance` set.

        Args:
            now: the wall clock, unix seconds. The windows it closes are those that the next
                request would close whose Kafka timestamp is not before `now`.
        """
        if self._settings.idle_advance <= 0:
            return []
        self._clock.advance(now - self._settings.idle_advance)
        self._first_open = int(self._closed_before(np.array([self._clock.time]))[0])
        return [window for _, window in self._close()]

    def _closed_before(self, clock: NDArray[np.float64]) -> NDArray[np.int64]:
        """Number of the first window that is open at each event time of the clock."""
        settings = self._settings
        watermark = clock - settings.allowed_lateness
        return np.floor_divide(watermark, settings.window).astype(np.int64)

    def _add(
        self,
        requests: Sequence[EdgeRequest],
        numbers: NDArray[np.int64],
        verdicts: NDArray[np.int8],
    ) -> None:
        """Puts the requests that are not refused into the windows with the given numbers."""
        chosen = np.flatnonzero(verdicts < Verdict.TOO_OLD)
        chosen = chosen[np.argsort(numbers[chosen], kind="stable")]
        pairs = list(map(_PAIR, requests))
        sizes = np.array([size or 0 for size in map(_SIZE, requests)], np.int64)
        hits = np.array([-1 if hit is None else hit for hit in map(_HIT, requests)], np.int8)
        found, counts = np.unique(numbers[chosen], return_counts=True)
        ends = np.cumsum(counts)
        for number, count, end in zip(found.tolist(), counts, ends, strict=True):
            positions = chosen[end - count : end]
            window = self._windows.get(number)
            if window is None:
                window = self._windows[number] = OpenWindow(number, self._settings)
            kept = window.add(
                [pairs[i] for i in positions.tolist()], sizes[positions], hits[positions]
            )
            verdicts[positions[~kept]] = Verdict.DROPPED

    def _close(self) -> list[tuple[int, EdgeWindow]]:
        """Takes out the windows that are due, in order of time, each with its number."""
        due = sorted(number for number in self._windows if number < self._first_open)
        return [(number, part) for number in due for part in self._windows.pop(number).close()]
