"""The cascade store as its docstring states it, slow and obvious: dicts, lists and a sort."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from stream.settings import Settings
from topics.hashing import hash_users
from topics.records import BIN_EDGES, CascadeOutcome, CascadeSnapshot, SocialEvent


@dataclass
class _Kept:
    event: SocialEvent
    parent: int
    depth: int


@dataclass
class _Cascade:
    name: str
    published: float
    rooted: bool = False
    kept: list[_Kept] = field(default_factory=list)
    rest: list[SocialEvent] = field(default_factory=list)
    rest_delays: list[float] = field(default_factory=list)
    next_growth: int = 0
    next_age: int = 0
    ends: float | None = None  # of one that woke late
    behind: float = 0.0
    dormant: bool = False

    @property
    def count(self) -> int:
        return len(self.kept) + len(self.rest)


class ReferenceStore:
    """Answers like `stream.tracker.store.CascadeStore`, one event at a time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ages = sorted({*settings.snapshot_ages, *settings.horizons})
        self.live: OrderedDict[str, _Cascade] = OrderedDict()
        self.closed: set[str] = set()
        self.clock = -math.inf
        self.witnessed: list[float] = []
        self.fired: list[CascadeSnapshot | CascadeOutcome] = []

    @property
    def watermark(self) -> float:
        return self.clock - self.settings.allowed_lateness

    def _witness(self, time: float) -> None:
        settings = self.settings
        if time < self.watermark - settings.clock_skew:
            return
        self.witnessed = [*self.witnessed, time][-8:]
        agreeing = sum(other >= time - settings.clock_skew for other in self.witnessed)
        reached = sorted(self.witnessed, reverse=True)[: settings.clock_witnesses]
        if agreeing >= settings.clock_witnesses:
            self.clock = max(self.clock, time)
        elif len(reached) == settings.clock_witnesses:
            self.clock = max(self.clock, reached[-1])

    def take(self, event: SocialEvent, latest: float) -> str:
        """What becomes of the event; all that is due by then is fired."""
        verdict = self._apply(event, latest)
        self._fire_due()
        return verdict

    def _apply(self, event: SocialEvent, latest: float) -> str:
        settings = self.settings
        if event.timestamp > latest + settings.clock_skew:
            return "IN_FUTURE"
        self._witness(event.timestamp)
        self._fire_due()
        if event.cascade_id in self.closed:
            return "CLOSED"
        cascade = self.live.get(event.cascade_id)
        if cascade is None:
            if event.timestamp < self.watermark - settings.max_lateness:
                return "TOO_OLD"
            if len(self.live) >= settings.max_cascades:
                idle, _ = self.live.popitem(last=False)
                self.closed.add(idle)
            cascade = _Cascade(event.cascade_id, event.timestamp)
            cascade.next_growth = settings.growth_first
            cascade.behind = max(0.0, self.watermark - event.timestamp)
            self.live[event.cascade_id] = cascade
        end = cascade.published + self.ages[-1] if cascade.ends is None else cascade.ends
        if cascade.count >= settings.growth_first and event.timestamp > end:
            return "CLOSED"
        known = [kept.event for kept in cascade.kept] + cascade.rest
        if any(other.event_id == event.event_id for other in known):
            return "DUPLICATE"
        if cascade.rooted and event.timestamp < cascade.published - settings.clock_skew:
            return "BEFORE_ROOT"
        if event.timestamp < cascade.published - settings.max_lateness:
            return "TOO_OLD"
        parent = self._parent(cascade, event)
        before = cascade.published
        soon = event.timestamp <= before + self.ages[0]
        if event.kind == "post" and not cascade.rooted and soon:
            cascade.rooted, cascade.published, parent = True, event.timestamp, -1
            cascade.dormant = False
        elif not cascade.rooted:
            cascade.published = min(before, event.timestamp)
        if cascade.published != before or cascade.kept == []:
            cascade.behind = max(cascade.behind, self.watermark - event.timestamp)
        cascade.dormant &= cascade.published == before
        if len(cascade.kept) < settings.max_events:
            depth = 0 if parent == -1 else 1 if parent == -2 else cascade.kept[parent].depth + 1
            cascade.kept.append(_Kept(event, parent, depth))
        else:
            cascade.rest.append(event)
            cascade.rest_delays.append(event.timestamp - cascade.published)
        self.live.move_to_end(event.cascade_id)
        if cascade.count >= cascade.next_growth:
            latest = max(other.timestamp for other in [*known, event])
            age = max(0.0, latest - cascade.published)
            self.fired.append(self._snapshot(cascade, f"n{cascade.next_growth}", age, math.inf))
            grown = int(cascade.next_growth * settings.growth_factor)
            cascade.next_growth = max(grown, cascade.next_growth + 1)
            outlived = age > self.ages[-1]
            if cascade.count == settings.growth_first and (outlived or cascade.dormant):
                cascade.dormant = False
                cascade.ends = latest + self.ages[-1] if outlived else None
                cascade.next_age = len(self.ages) - 1
        return "ACCEPTED"

    def _fire_due(self) -> None:
        while True:
            due = [(self._due(c) + c.behind, c.name) for c in self.live.values() if not c.dormant]
            due = [pair for pair in due if pair[0] < self.watermark]
            if not due:
                return
            self._fire(self.live[min(due)[1]])

    def _due(self, cascade: _Cascade) -> float:
        due = cascade.published + self.ages[cascade.next_age]
        return due if cascade.ends is None else cascade.ends

    def _fire(self, cascade: _Cascade) -> None:
        settings, age, due = self.settings, self.ages[cascade.next_age], self._due(cascade)
        until = age
        if cascade.ends is not None:
            age = due - cascade.published
            until = min((edge for edge in BIN_EDGES if edge >= age), default=math.inf)
        count = sum(kept.event.timestamp <= due for kept in cascade.kept)
        count += sum(delay <= until for delay in cascade.rest_delays)
        last = cascade.next_age + 1 == len(self.ages)
        if last and cascade.count < settings.growth_first:
            cascade.dormant = True
            return
        if count >= settings.growth_first:
            if self.ages[cascade.next_age] in settings.snapshot_ages:
                snapshot = self._snapshot(cascade, f"a{int(age)}", age, due, count)
                self.fired.append(snapshot)
            if self.ages[cascade.next_age] in settings.horizons:
                outcome = CascadeOutcome(cascade.name, cascade.published, age, count, last)
                self.fired.append(outcome)
        if last:
            del self.live[cascade.name]
            self.closed.add(cascade.name)
        else:
            cascade.next_age += 1

    def _parent(self, cascade: _Cascade, event: SocialEvent) -> int:
        for wanted, attribute in ((event.parent_id, "event_id"), (event.parent_user_id, "user_id")):
            for index, kept in enumerate(cascade.kept):
                if wanted is not None and getattr(kept.event, attribute) == wanted:
                    return index
        return -2

    def _snapshot(
        self, cascade: _Cascade, trigger: str, age: float, limit: float, count: int | None = None
    ) -> CascadeSnapshot:
        order = sorted(
            (i for i, kept in enumerate(cascade.kept) if kept.event.timestamp <= limit),
            key=lambda i: cascade.kept[i].event.timestamp,
        )
        rank = {index: place for place, index in enumerate(order)}
        kept = [cascade.kept[i] for i in order]
        parents = [k.parent if k.parent < 0 else rank.get(k.parent, -2) for k in kept]
        count = cascade.count if count is None else count
        rest = b""
        if count > len(kept):
            bins = np.searchsorted(BIN_EDGES, list(cascade.rest_delays))
            counts = np.bincount(bins, minlength=len(BIN_EDGES) + 1)
            if limit < math.inf:
                counts[np.searchsorted(BIN_EDGES, age) + 1 :] = 0
            rest = counts.astype("<i4").tobytes()
        return CascadeSnapshot(
            snapshot_id=f"{cascade.name}@{trigger}",
            cascade_id=cascade.name,
            trigger=trigger,
            published_at=cascade.published,
            age=age,
            observed_count=count,
            rooted=cascade.rooted,
            delay=np.array(
                [max(0.0, k.event.timestamp - cascade.published) for k in kept], "<f4"
            ).tobytes(),
            parent=np.array(parents, "<i4").tobytes(),
            depth=np.array([k.depth for k in kept], "<i4").tobytes(),
            user=hash_users([k.event.user_id for k in kept]).astype("<i4").tobytes(),
            rest=rest,
        )
