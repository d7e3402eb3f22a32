"""The clock of a partition: how far event time has come, by its records and by no single one.

Event time goes on to the time of a record when enough records (`clock_witnesses` of the latest
`KEPT`, itself among them) have come to within a jump of it (`clock_skew`); else it goes on to the
time that so many have reached. So the clock of a steady stream stands at its latest record, and one
that goes on after a silence stands still until enough records have come from behind it. Fewer
outliers than that among any `KEPT` records move nothing.

A record further behind the clock than `allowed_lateness` and a jump together is no witness: an
older log that is sent beside a newer one neither holds the clock nor hides the newer one's records.

All of it is a function of the records in their order, wherever batches end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream.checkpoints.content import Arrays
from stream.settings import Settings

KEPT = 8  # records; enough for a few witnesses among outliers, few enough to look at each time


class EventClock:
    """The clock of one partition.

    Args:
        settings: allowed lateness, clock skew and witnesses.
        time: where it stands before the first record, unix seconds.
    """

    def __init__(self, settings: Settings, time: float = -np.inf) -> None:
        self._lateness = float(settings.allowed_lateness)
        self._jump = float(settings.clock_skew)
        self._witnesses = settings.clock_witnesses
        self._time = time
        self._latest = np.full(KEPT, -np.inf)  # times of the latest witnesses, a ring
        self._place = 0  # of the next one

    @property
    def time(self) -> float:
        """How far event time has come, unix seconds."""
        return self._time

    @property
    def watermark(self) -> float:
        """Event time up to which records are taken to be there, unix seconds."""
        return self._time - self._lateness

    def take(
        self, times: NDArray[np.float64], believed: NDArray[np.bool_], floors: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Moves the clock by a batch of records in the order of the log.

        Args:
            times: event time of each, unix seconds.
            believed: which of them may be witnesses.
            floors: what the clock is past anyhow by each.

        Returns:
            the clock before and after each record. All of shape (records,).
        """
        before, after = np.empty(len(times)), np.empty(len(times))
        self._time, self._place = _run(
            self._time, self._latest, self._place, times, believed, floors,
            self._lateness, self._jump, self._witnesses, before, after,
        )  # fmt: skip
        return before, after

    def advance(self, time: float) -> None:
        """Moves the clock to at least `time`, unix seconds, without a record."""
        self._time = max(self._time, time)

    def save(self) -> dict[str, NDArray[Any]]:
        """A copy of all that it goes by."""
        now = np.array([self._time, float(self._place)])
        return {"clock": np.concatenate([now, self._latest])}

    def restore(self, arrays: Arrays) -> None:
        """Makes the clock of the same settings what was saved."""
        saved = arrays["clock"]
        self._time, self._place = float(saved[0]), int(saved[1])
        self._latest = saved[2:].copy()


@njit(cache=True)
def _run(
    now: float,
    latest: NDArray[np.float64],
    place: int,
    times: NDArray[np.float64],
    believed: NDArray[np.bool_],
    floors: NDArray[np.float64],
    lateness: float,
    jump: float,
    witnesses: int,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
) -> tuple[float, int]:
    for i in range(len(times)):
        now = max(now, floors[i])
        before[i] = now
        time = times[i]
        if believed[i] and time >= now - lateness - jump:
            latest[place] = time
            place = (place + 1) % KEPT
            if time > now:
                agreeing = 0
                for j in range(KEPT):
                    agreeing += latest[j] >= time - jump
                reached = time if agreeing >= witnesses else np.sort(latest)[KEPT - witnesses]
                now = max(now, reached)
        after[i] = now
    return now, place
