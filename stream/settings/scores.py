"""How long the scorer waits for what comes true, and for how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stream.settings.domain import Domain, setting
from stream.settings.spelling import Duration


@dataclass(frozen=True)
class Scores(Domain):
    """What waits for its outcome."""

    heading: ClassVar[str] = "Scores"

    score_patience: Duration = setting(
        Duration(86_400), "event time for which the scorer waits past a cascade's last horizon"
    )
    max_awaited: int = setting(
        400_000,
        "forecasts and outcomes a partition that the scorer holds; some 300 MB at the bound",
        positive=True,
    )
