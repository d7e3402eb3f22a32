"""From the windows of one edge to decisions about its cache: a state machine without a clock.

After each window the objects with the highest scores, as many as the cache holds, are to be kept:
one that enters them is admitted, one that leaves them is returned to the edge's default. A
decision that stands is sent again only near its expiry. An object that is in keeps its place
until another's score is above its own by a margin, since scores near the threshold go up and down
by chance.

An object that enters without having been requested lately is to be fetched ahead, if a request
for it is expected in the next window: the edge would have to fetch it then anyway.

Shadow caches replay each window's requests before it changes any decision
(`stream.ranker.shadow_caches`): one that obeys the decisions in force, with their scores as
published, LRU and the decayed count. Their hit ratios stand in the record that closes the epoch.
When obeying has not answered more than
LRU lately, the ranker stands down: all decisions are returned to the edge's default and none are
sent, while the shadow goes on obeying them in silence, until it is ahead again.

What is answered is a function of the windows alone. A window, or part of one, that was taken in
before is recognised and changes nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.interface import Ranker
from stream.ranker.shadow_caches import ShadowCaches
from stream.settings import Settings
from topics.catalogue import decision_key
from topics.records import CacheDecision, EdgeEpoch, EdgeWindow

# Log of the factor by which the expected requests of an object that is out have to exceed those of
# the one that it replaces. Against no margin, half as many objects return to the default on the
# requests of KuaiRand (4,416 for 9,046) and a fifth on MovieLens (685 for 3,587), and the cache
# that obeys loses nothing: hit ratio .5800 for .5798, .3517 for .3497 (benchmarks/decisions.py
# TRACE --margins 0,0.2; --window 1h for MovieLens).
MARGIN = 0.2
# Log of the requests in the next window from which on an absent object is worth a fetch ahead.
_PREFETCH = 0.0
# A decision is renewed when this share of its life is left.
_RENEW_SHARE = 0.25
# Share of the bound on objects that is kept when it is passed, so that forgetting is rare.
_KEPT_SHARE = 7 / 8


class Change(NamedTuple):
    """A message for `cache.decisions`: its key and its record, None to end a decision."""

    key: bytes
    record: CacheDecision | EdgeEpoch | None


class EdgeDecisions:
    """The decisions in force at one edge.

    Args:
        edge_id: the edge.
        ranker: of this edge; stepped here.
        settings: capacity, life of decisions, bound on objects.
    """

    def __init__(self, edge_id: str, ranker: Ranker, settings: Settings) -> None:
        self._edge_id = edge_id
        self._ranker = ranker
        self._settings = settings
        self._codes: dict[str, int] = {}  # of the objects known, dense
        self._expires = np.zeros(0)  # of each code; nan where no decision was made
        self._shadows = ShadowCaches(self.capacity)
        self._seen = (-1.0, -1)  # start and part of the last window taken in
        self._standing_down = False

    @property
    def capacity(self) -> int:
        """Objects that the edge's cache is taken to hold."""
        settings = self._settings
        return settings.cache_objects or max(1, round(settings.cache_share * len(self._codes)))

    def step(self, window: EdgeWindow, produced_at: float) -> list[Change]:
        """What changes after a window; nothing before its last part.

        Args:
            window: of this edge, the next in order of time.
            produced_at: wall clock for the record that closes the epoch, unix seconds.
        """
        if (window.start, window.part) <= self._seen:
            return []
        if window.start > self._seen[0]:
            self._shadows.begin()
            self._expire(window.start)
        self._seen = (window.start, window.part)
        self._replay(window)
        self._ranker.step(window)
        if window.part + 1 < window.parts:
            return []
        return self._close(window, produced_at)

    def _expire(self, now: float) -> None:
        """The obeying cache no longer follows decisions that are void at `now`."""
        void = np.flatnonzero(self._expires <= now)
        self._shadows.obeying.advise(void, np.full(void.size, np.nan))

    def _replay(self, window: EdgeWindow) -> None:
        codes = self._codes
        known = np.fromiter(
            (codes.setdefault(name, len(codes)) for name in window.objects),
            np.int32,
            len(window.objects),
        )
        new = len(codes) - self._expires.size
        self._expires = np.concatenate([self._expires, np.full(new, np.nan)])
        self._shadows.replay(known[window.requests()])

    def _close(self, window: EdgeWindow, produced_at: float) -> list[Change]:
        names = list(self._codes)
        scores = self._ranker.scores(names)
        capacity = self.capacity
        in_force = ~np.isnan(self._expires)
        chosen = _highest(scores + MARGIN * in_force, capacity)
        end = window.start + window.length
        life = self._settings.decision_windows * window.length
        with np.errstate(invalid="ignore"):
            due = chosen & ~(self._expires - end > _RENEW_SHARE * life)
        gone = in_force & ~chosen

        self._expires[due] = end + life
        self._expires[gone] = np.nan
        shadows = self._shadows
        shadows.obeying.advise(np.flatnonzero(gone), np.full(np.count_nonzero(gone), np.nan))
        shadows.obeying.advise(np.flatnonzero(due), scores[due])
        shadows.close(capacity)
        absent = ~shadows.obeying.holds(np.arange(len(names)))
        ahead = due & ~in_force & absent & (scores >= _PREFETCH)
        shadows.obeying.prefetch(np.flatnonzero(ahead))

        due, gone = self._sent(chosen, in_force, due, gone)
        changes = [
            Change(decision_key(self._edge_id, names[i]), None) for i in np.flatnonzero(gone)
        ]
        changes += self._decisions(names, scores, due, ahead, window.epoch, end + life)
        admitted = 0 if self._standing_down else int(np.count_nonzero(chosen))
        changes.append(self._epoch(window, admitted, produced_at))
        if len(names) > self._settings.max_objects:
            self._forget(names, np.where(chosen, np.inf, scores))
        return changes

    def _sent(
        self,
        chosen: NDArray[np.bool_],
        in_force: NDArray[np.bool_],
        due: NDArray[np.bool_],
        gone: NDArray[np.bool_],
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """What is decided and what is returned as readers see it, who see none while it stands
        down.
        """
        stood_down, self._standing_down = self._standing_down, not self._shadows.gaining
        nothing = np.zeros_like(chosen)
        if self._standing_down:
            return nothing, nothing if stood_down else in_force
        return (chosen, nothing) if stood_down else (due, gone)

    def _decisions(
        self,
        names: list[str],
        scores: NDArray[np.float64],
        due: NDArray[np.bool_],
        ahead: NDArray[np.bool_],
        epoch: int,
        expires_at: float,
    ) -> list[Change]:
        """The decisions that are due, the highest score first."""
        codes = np.flatnonzero(due)
        codes = codes[np.argsort(-scores[codes], kind="stable")]
        above = len(names) - np.searchsorted(np.sort(scores), scores[codes], side="right")
        changes = []
        for code, score, rank in zip(
            codes.tolist(), scores[codes].tolist(), (above + 1).tolist(), strict=True
        ):
            record = CacheDecision(
                edge_id=self._edge_id,
                object_id=names[code],
                verdict="prefetch" if ahead[code] else "admit",
                score=score,
                expires_at=expires_at,
                epoch=epoch,
                reason=f"rate {math.exp(score):.3g} per window, rank {rank} of {len(names)}",
                model=self._ranker.name,
                model_version=self._ranker.version,
            )
            changes.append(Change(decision_key(self._edge_id, names[code]), record))
        return changes

    def _epoch(self, window: EdgeWindow, admitted: int, produced_at: float) -> Change:
        obeying, lru, decayed = self._shadows.ratios()
        record = EdgeEpoch(
            edge_id=self._edge_id,
            epoch=window.epoch,
            window_start=window.start,
            window_length=window.length,
            requests=self._shadows.requests,
            objects=len(self._codes),
            admitted=admitted,
            capacity=self.capacity,
            hit_ratio=obeying,
            lru_hit_ratio=lru,
            model=self._ranker.name,
            model_version=self._ranker.version,
            produced_at=produced_at,
            decayed_hit_ratio=decayed,
            standing_down=self._standing_down,
            scored_by=self._ranker.in_force,
        )
        return Change(decision_key(self._edge_id), record)

    def _forget(self, names: list[str], scores: NDArray[np.float64]) -> None:
        """Keeps the objects with the highest scores, those decided on first."""
        count = max(1, int(self._settings.max_objects * _KEPT_SHARE))
        keep = np.sort(np.argsort(-scores, kind="stable")[:count])
        self._codes = {names[i]: code for code, i in enumerate(keep.tolist())}
        self._expires = self._expires[keep]
        self._shadows.forget(keep)


def _highest(scores: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    """Which are the `count` highest above -inf; of equal ones the first."""
    if count >= scores.size:
        return scores > -np.inf
    threshold = np.partition(scores, scores.size - count)[scores.size - count]
    chosen: NDArray[np.bool_] = scores > threshold
    if threshold > -np.inf:
        level = np.flatnonzero(scores == threshold)
        chosen[level[: count - np.count_nonzero(chosen)]] = True
    return chosen
