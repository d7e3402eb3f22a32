"""What historian and ranker make of requests: windows, what is held, what is decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stream.settings.domain import Domain, setting
from stream.settings.spelling import Duration


@dataclass(frozen=True)
class Edges(Domain):
    """The windows of an edge, its objects, and the decisions about its cache."""

    heading: ClassVar[str] = "Edges"

    requests_format: str = setting(
        "", "of messages on edge.requests: a format's name or file; empty: the topic's own record"
    )
    window: Duration = setting(
        Duration(300), "length of a window of requests; decisions follow it", positive=True
    )
    max_objects: int = setting(
        200_000, "objects an edge and partition that are remembered", positive=True
    )
    max_edges: int = setting(
        1_000,
        "edges a partition that are ranked; the one silent longest makes room for a new one",
        positive=True,
    )
    max_window_objects: int = setting(
        1_000_000,
        "objects of all edges in one window of a partition, one more for each 256 characters of "
        "their ids; some 300 MB at the bound",
        positive=True,
    )
    max_window_requests: int = setting(
        20_000_000,
        "requests of all edges in one window of a partition; 100 MB at the bound",
        positive=True,
    )
    cache_share: float = setting(0.05, "capacity of an edge's cache as a share of its objects")
    cache_objects: int = setting(0, "capacity in objects; 0: cache_share decides")
    ranker: str = setting(
        "cachemamba", "what ranks objects: cachemamba, or decayed, which needs no model"
    )
    decision_windows: int = setting(
        12, "windows for which a decision stands unless renewed", positive=True
    )
    skip_after: Duration = setting(
        Duration(900),
        "once even the newest window waited this long, a batch says the latest of each object "
        "alone; as edge_stale_after; 0: never",
    )

    def __post_init__(self) -> None:
        """Refuses a cache that holds nothing, or more than there is."""
        super().__post_init__()
        self.allow("cache_share", 0 < self.cache_share <= 1, "more than 0, up to 1")
