"""What roles noticed lately, in words: the reader's side of `stream.telemetry.notices`."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from stream.telemetry.notices import KINDS
from topics.records import RoleNotice

LATELY = 3_600.0  # seconds
_LISTED = 12  # partitions by number


@dataclass(frozen=True)
class Summary:
    """What one role noticed of one kind in one topic, over all its partitions and workers.

    Attributes:
        count: messages that it is about, since the workers started.
        first_at, last_at: wall clock of the workers, unix seconds.
        message: the latest.
    """

    role: str
    kind: str
    topic: str
    partitions: tuple[int, ...]
    count: int
    first_at: float
    last_at: float
    message: str

    @property
    def text(self) -> str:
        """What was noticed, and what comes of it."""
        what = KINDS[self.kind].what if self.kind in KINDS else self.kind
        numbers = [str(number) for number in self.partitions[:_LISTED]]
        if len(self.partitions) > _LISTED:
            numbers.append(f"{len(self.partitions) - _LISTED} more")
        where = f"partition{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
        latest = time.strftime("%H:%M:%S", time.gmtime(self.last_at))
        return (
            f"The {self.role} noticed {what}: {self.topic}, {where}; {self.count:,} so far, the "
            f"latest at {latest} UTC. {self.message}"
        )

    @property
    def to_do(self) -> str:
        """What helps; a kind of a newer version says it in its message, if at all."""
        return KINDS[self.kind].to_do if self.kind in KINDS else ""


def lately(notices: Iterable[RoleNotice], now: float) -> list[Summary]:
    """What was noticed in the last hour before `now`, unix seconds; the latest first.

    Args:
        notices: of each worker, kind and partition the latest.
    """
    found: dict[tuple[str, str, str], list[RoleNotice]] = defaultdict(list)
    for notice in notices:
        if notice.last_at > now - LATELY:
            found[notice.role, notice.kind, notice.topic].append(notice)
    summaries = [
        Summary(
            *place,
            tuple(sorted({notice.partition for notice in alike})),
            sum(notice.count for notice in alike),
            min(notice.first_at for notice in alike),
            max(notice.last_at for notice in alike),
            max(alike, key=lambda notice: notice.last_at).message,
        )
        for place, alike in found.items()
    ]
    return sorted(summaries, key=lambda summary: -summary.last_at)
