"""What time it is at an edge, in event time, as far as its decisions tell.

Decisions expire by event time, and the agent has the wall clock alone. A record that closes an
epoch ties the two together: event time was at the end of the window when the ranker wrote it. From
there on event time is taken to run as the wall clock does, and the next epoch sets it right. So a
replay of an old trace, at whatever speed, expires what a live edge would have expired; and in live
use, where the window is closed only `allowed_lateness` after its end, a decision is obeyed that
much longer than its word.
"""

from __future__ import annotations

import math

from topics.records import EdgeEpoch


class EventClock:
    """The event time of one edge.

    Attributes:
        epoch: number of the latest epoch that was closed; -1 before the first.
        length: of its window, seconds.

    >>> clock = EventClock()
    >>> clock.now(wall=1000.0), clock.staleness(wall=1000.0)
    (0.0, inf)
    """

    def __init__(self) -> None:
        self.epoch = -1
        self.length = 0.0
        self._end = 0.0  # of the window, event time
        self._closed_at = -math.inf  # wall clock

    def close(self, epoch: EdgeEpoch, wall: float) -> bool:
        """Takes in an epoch; whether it is news. A repeat, or an earlier one, is not.

        Args:
            epoch: of this edge.
            wall: the wall clock now, unix seconds. A ranker whose clock is ahead is not believed.
        """
        end = epoch.window_start + epoch.window_length
        if end <= self._end:
            return False
        self.epoch, self.length, self._end = epoch.epoch, epoch.window_length, end
        self._closed_at = min(epoch.produced_at, wall)
        return True

    def now(self, wall: float) -> float:
        """Event time, unix seconds; 0 before the first epoch, when nothing is known."""
        if self.epoch < 0:
            return 0.0
        return self._end + max(0.0, wall - self._closed_at)

    def staleness(self, wall: float) -> float:
        """Seconds since the latest epoch was closed; infinite before the first."""
        return max(0.0, wall - self._closed_at)
