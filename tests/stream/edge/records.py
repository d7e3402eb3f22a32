"""Records about an edge, made short."""

from __future__ import annotations

from typing import Literal

from topics.records import CacheDecision, EdgeEpoch

LENGTH = 60.0


def decision(
    name: str,
    expires_at: float = 1e9,
    score: float = 0.0,
    verdict: Literal["admit", "prefetch"] = "admit",
    edge: str = "lyon",
) -> CacheDecision:
    return CacheDecision(edge, name, verdict, score, expires_at, 0, "", "decayed", "1")


def epoch(number: int, produced_at: float, edge: str = "lyon") -> EdgeEpoch:
    """Closes the window from `number` times a minute on."""
    return EdgeEpoch(
        edge, number, number * LENGTH, LENGTH, 10, 5, 3, 3, 0.5, 0.4, "decayed", "1", produced_at
    )
