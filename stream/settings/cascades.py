"""What the tracker makes of events: by which clock, when it tells, what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stream.settings.domain import Domain, setting
from stream.settings.spelling import Duration, SettingsError, ages
from topics.records import BIN_EDGES


@dataclass(frozen=True)
class Cascades(Domain):
    """When snapshots are taken of a cascade, and when it is over."""

    heading: ClassVar[str] = "Cascades"

    social_format: str = setting(
        "", "of messages on social.events: a format's name or file; empty: the topic's own record"
    )
    allowed_lateness: Duration = setting(
        Duration(30), "how far events may be out of order; age snapshots wait for this long"
    )
    max_lateness: Duration = setting(
        Duration(3_600),
        "a cascade that begins, or a request that comes, further behind its partition is refused",
    )
    clock_skew: Duration = setting(
        Duration(60), "an event this far before its root, or in the future, is still believed"
    )
    clock_witnesses: int = setting(
        3, "records, of the latest eight, that have to come past a jump before event time does"
    )
    growth_first: int = setting(
        10, "the first snapshot by growth; fewer events say little", positive=True
    )
    growth_factor: float = setting(2.0, "each next snapshot by growth at this multiple")
    snapshot_ages: tuple[Duration, ...] = setting(
        ages("5m", "15m", "30m", "1h", "2h", "4h", "8h", "24h"), "snapshots by age"
    )
    horizons: tuple[Duration, ...] = setting(
        ages("1h", "4h", "24h", "48h"),
        "ages that are forecast, and at which outcomes are published; a cascade closes at the last",
    )
    max_events: int = setting(
        512, "events kept exactly a cascade; later ones are only counted", positive=True
    )
    max_cascades: int = setting(
        500_000,
        "live cascades a partition; the one idle longest is closed for a new one",
        positive=True,
    )
    idle_advance: Duration = setting(
        Duration(0), "an idle partition's watermark follows the wall clock after this; 0: never"
    )
    viral_count: int = setting(500, "the size whose probability a forecast states", positive=True)

    def __post_init__(self) -> None:
        """Refuses ages that counts are not kept for, and a clock that nothing could move."""
        super().__post_init__()
        self.allow("clock_witnesses", 1 <= self.clock_witnesses <= 8, "1 to 8")
        self.allow("growth_factor", self.growth_factor > 1, "more than 1")
        for name in ("snapshot_ages", "horizons"):
            listed: tuple[Duration, ...] = getattr(self, name)
            ascending = bool(listed) and list(listed) == sorted(set(listed)) and listed[0] > 0
            self.allow(name, ascending, "ages above 0 in ascending order")
            # Counts past max_events are kept by bins, so only at their edges is a count exact.
            if odd := sorted(set(listed) - set(BIN_EDGES)):
                whole = ", ".join(f"{edge:g}" for edge in BIN_EDGES if edge == round(edge))
                raise SettingsError(f"{name}: got {odd} seconds; expected some of {whole}")
        if self.snapshot_ages[-1] >= self.horizons[-1]:
            raise SettingsError(
                f"snapshot_ages: got {self.snapshot_ages[-1]:g}; expected ages below the last "
                f"horizon ({self.horizons[-1]:g}), where a cascade closes"
            )
