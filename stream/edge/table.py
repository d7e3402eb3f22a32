"""The decisions in force at one edge, and what changed in them since a reader last asked.

A state machine without a clock of its own: every method that depends on time is given the wall
clock. What it holds is ordered by its latest change, so a reader that names the last change it has
(a cursor) is given those after it; one that names none, or one of another agent's life, or one
older than what is remembered, is given everything and told to forget what it holds.

    bounds    decisions beyond `edge_decisions` are not kept, and counted: those objects take the
              default. Of objects returned to the default as many are remembered.
    expiry    by event time (`stream.edge.clock`). What has expired is never answered, and is a
              change like any other.
    obeying   while decisions are in force, fresh, and known to be complete. Otherwise every object
              takes the default: it is stored, as if there were no decisions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import takewhile
from operator import attrgetter
from typing import NamedTuple

from stream.edge.clock import EventClock
from stream.settings import Settings
from topics.records import CacheDecision, EdgeEpoch

# An object without a decision is never stored for fewer requests in one window than this: among
# thousands of objects some are requested twice by chance, and each would put out one that is kept
# for a reason (docs/edge.md has the hit ratios).
_BURST_LEAST = 8


class Held(NamedTuple):
    """A decision in force."""

    verdict: str
    score: float  # log of the expected requests in a window
    expires_at: float  # event time
    version: int  # of the table, when it was made or renewed


class Change(NamedTuple):
    """What has become of an object; without a decision `verdict` is None."""

    object_id: str
    verdict: str | None
    score: float
    expires_in: float  # seconds
    version: int


class Page(NamedTuple):
    """The next changes for a reader."""

    reset: bool  # forget what is held
    changes: list[Change]
    cursor: str  # to be named next
    more: bool  # there are further changes already


class EdgeTable:
    """The decisions about one edge.

    Attributes:
        clock: its event time.
        complete: whether the topic has been read as far as it went when reading began.
        dropped: decisions that were beyond the bound.
        version: goes up with every change, and with every epoch.

    Args:
        settings: bounds, and when decisions are stale.
        life: names this life of the agent in cursors.
    """

    def __init__(self, settings: Settings, life: str) -> None:
        self.clock = EventClock()
        self.complete = False
        self.dropped = 0
        self.version = 0
        self.life = life
        self._settings = settings
        self._held: dict[str, Held] = {}  # by version
        self._gone: dict[str, int] = {}  # version of objects returned to the default, in order
        self._forgotten = 0  # objects returned at this version or before are not remembered
        self._next_expiry = math.inf
        self._burst = 0

    def __len__(self) -> int:
        """Decisions in force, those that expired since `expire` among them."""
        return len(self._held)

    # ----------------------------------------------------------------------- from the topic

    def decide(self, decision: CacheDecision) -> None:
        """A decision is made or renewed."""
        name = decision.object_id
        if self._held.pop(name, None) is None and len(self._held) >= self._settings.edge_decisions:
            self.dropped += 1
            return
        self._gone.pop(name, None)
        self.version += 1
        expires_at = decision.expires_at
        self._held[name] = Held(decision.verdict, decision.score, expires_at, self.version)
        self._next_expiry = min(self._next_expiry, expires_at)

    def withdraw(self, object_id: str) -> None:
        """An object returns to the default."""
        if self._held.pop(object_id, None) is not None:
            self.version += 1
            self._gone[object_id] = self.version
            while len(self._gone) > self._settings.edge_decisions:
                oldest = next(iter(self._gone))
                self._forgotten = self._gone.pop(oldest)

    def close(self, epoch: EdgeEpoch, wall: float) -> bool:
        """An epoch is closed; whether that is news. Ends what has expired by then."""
        if not self.clock.close(epoch, wall):
            return False
        self.version += 1
        self.expire(wall)
        floor = min((held.score for held in self._held.values()), default=0.0)
        factor = self._settings.edge_burst
        self._burst = max(_BURST_LEAST, math.ceil(factor * math.exp(floor))) if factor else 0
        return True

    def expire(self, wall: float) -> bool:
        """Ends decisions that are void by now; whether there were any."""
        now = self.clock.now(wall)
        if now < self._next_expiry:
            return False
        for name in [name for name, held in self._held.items() if held.expires_at <= now]:
            self.withdraw(name)
        self._next_expiry = min((held.expires_at for held in self._held.values()), default=math.inf)
        return True

    def begin_anew(self) -> None:
        """Forgets what another log has told: all objects return to the default, event time begins.

        Event time too, for a log that tells of earlier windows would never be news.
        """
        for name in list(self._held):
            self.withdraw(name)
        self.clock = EventClock()
        self.complete = False
        self.version += 1
        self._next_expiry = math.inf
        self._burst = 0

    # ----------------------------------------------------------------------- for the cache

    def obeying(self, wall: float) -> bool:
        """Whether the decisions are to be obeyed now."""
        return self.complete and bool(self._held) and self.lease(wall) > 0

    def lease(self, wall: float) -> float:
        """Seconds for which what is told now may be obeyed without hearing of the agent again."""
        fresh = self._settings.edge_stale_after - self.clock.staleness(wall)
        return max(0.0, min(fresh, float(self._settings.edge_lease)))

    @property
    def burst(self) -> int:
        """Requests in one window at which an object without a decision is stored; 0: never.

        So many that it outdoes the least of what is kept. The ranker admits such an object when
        the window is over; until then all its requests would go to the origin.
        """
        return self._burst

    def look_up(self, object_id: str, wall: float) -> Held | None:
        """The decision about an object, if one is in force."""
        held = self._held.get(object_id)
        return held if held is not None and held.expires_at > self.clock.now(wall) else None

    @property
    def cursor(self) -> str:
        """Of a reader that has heard of everything so far."""
        return f"{self.life}.{self.version}"

    def is_news(self, cursor: str) -> bool:
        """Whether anything happened since the cursor, epochs included."""
        return cursor != self.cursor

    def page(self, cursor: str, wall: float) -> Page:
        """The changes after the cursor, as many as are told at once, those longest ago first."""
        place = self._place_of(cursor)
        since, whole_at = place or (0, self.version)
        now, limit = self.clock.now(wall), self._settings.edge_changes
        changes = [
            Change(name, held.verdict, held.score, held.expires_at - now, held.version)
            for name, held in self._held_since(since)
        ]
        if place is not None:
            changes += [
                Change(name, None, 0.0, 0.0, version) for name, version in self._gone_since(since)
            ]
        changes.sort(key=attrgetter("version"))
        more = len(changes) > limit
        del changes[limit:]
        after = f"{self.life}.{changes[-1].version}.{whole_at}" if more else self.cursor
        return Page(place is None, changes, after, more)

    def _place_of(self, cursor: str) -> tuple[int, int] | None:
        """The version that a reader has come to, and the one at which it began with nothing.

        A reader that began with nothing holds no object that was returned before then. None if
        the cursor is of no use, so that all has to be told.
        """
        life, *numbers = cursor.split(".")
        if life != self.life or not all(n.isdecimal() and len(n) < 20 for n in numbers):
            return None
        if len(numbers) == 1:
            numbers.append(numbers[0])
        if len(numbers) != 2:
            return None
        since, whole_at = map(int, numbers)
        if not since <= whole_at <= self.version or whole_at < self._forgotten:
            return None
        return since, whole_at

    def _held_since(self, version: int) -> Iterator[tuple[str, Held]]:
        """Those made or renewed after a version, the latest first."""
        return takewhile(lambda item: item[1].version > version, reversed(self._held.items()))

    def _gone_since(self, version: int) -> Iterator[tuple[str, int]]:
        return takewhile(lambda item: item[1] > version, reversed(self._gone.items()))
