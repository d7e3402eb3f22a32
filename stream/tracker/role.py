"""The tracker: reshare events in, snapshots and outcomes of cascades out.

One handler a partition owns that partition's `CascadeStore`; everything else is decoding and
encoding. An event that cannot be used goes to `dead.letters` with the reason.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from aiokafka import ConsumerRecord
from numpy.typing import NDArray

from stream.checkpoints.content import Arrays
from stream.settings import Settings
from stream.sources.formats import format as formats
from stream.telemetry import setup as telemetry
from stream.telemetry import spans, traces
from stream.telemetry.notices import Noticed
from stream.tracker.saving import LAYOUT
from stream.tracker.store import CascadeStore, Fired, Verdict
from stream.workers import keys
from stream.workers.ingest import IngestRole
from stream.workers.intake import decode
from stream.workers.publishing.output import Output, dead_letter, passed_on
from stream.workers.stamps import Stamps, noticed, objection
from topics.catalogue import CASCADE_OUTCOMES, CASCADE_SNAPSHOTS, SOCIAL_EVENTS, Topic
from topics.records import CascadeOutcome, SocialEvent

ROLE = "tracker"


class TrackedPartition:
    """The cascades of one partition of `social.events`. A `PartitionHandler`."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self.store = CascadeStore(settings)
        self.counters = {
            "accepted": 0, "duplicate": 0, "closed": 0, "dead_letters": 0, "skipped": 0,
            "late": 0, "unknown_parents": 0, "evicted": 0, "snapshots": 0, "outcomes": 0,
        }  # fmt: skip
        self.depends_on: Mapping[str, str] = {
            name: str(getattr(settings, name))
            for name in (
                "snapshot_ages", "horizons", "allowed_lateness", "max_lateness", "clock_skew",
                "clock_witnesses", "growth_first", "growth_factor", "max_events", "max_cascades",
                "event_bytes",
            )
        } | {"layout": LAYOUT} | formats.depends_on(settings, SOCIAL_EVENTS)  # fmt: skip
        self.noticed: list[Noticed] = []
        self._settings = settings
        self._clock = clock
        self._last_timestamp_ms = 0

    def process(self, records: Sequence[ConsumerRecord]) -> list[Output]:
        """Snapshots, outcomes and dead letters of the next records of the partition."""
        with spans.stage("decode"):
            messages, events, stamps, refused, heartbeats, skipped = decode(
                records, SOCIAL_EVENTS, ROLE, self._settings, self._clock()
            )
        self.noticed += keys.noticed(messages, events, SOCIAL_EVENTS)
        with spans.stage("state"):
            verdicts, fired = self.store.ingest(events, stamps.latest)
        outputs = refused + self._encode(fired, messages, stamps.ms)
        outputs += self._refusals(events, verdicts, messages, stamps)
        self._count(verdicts, len(refused), skipped)
        if messages:
            self._last_timestamp_ms = stamps.ms[-1]
        return outputs + passed_on(heartbeats, CASCADE_SNAPSHOTS, CASCADE_OUTCOMES)

    def idle(self, now: float) -> list[Output]:
        """What comes due as the watermark follows the wall clock `now`, unix seconds."""
        fired = self.store.advance(now - self._settings.allowed_lateness)
        return self._encode(fired, (), ())

    def save(self) -> dict[str, NDArray[Any]]:
        """A copy of the store, and what `idle` goes by."""
        return self.store.save() | {"last_timestamp_ms": np.array([self._last_timestamp_ms])}

    def restore(self, arrays: Arrays) -> None:
        """Makes the store what was saved."""
        self.store.restore(arrays)
        self._last_timestamp_ms = int(arrays["last_timestamp_ms"][0])
        self._count_of_store()

    def _encode(
        self, fired: Iterable[Fired], records: Sequence[ConsumerRecord], stamps_ms: Sequence[int]
    ) -> list[Output]:
        outputs = []
        for record, cause in fired:
            timestamp_ms = stamps_ms[cause] if records else self._last_timestamp_ms
            headers: tuple[tuple[str, bytes], ...] = ()
            topic: Topic = CASCADE_OUTCOMES
            if isinstance(record, CascadeOutcome):
                self.counters["outcomes"] += 1
            else:
                topic = CASCADE_SNAPSHOTS
                self.counters["snapshots"] += 1
                given = records[cause].headers if records else ()
                trace = traces.of(given, record.snapshot_id, self._settings.trace_share)
                headers = ((traces.TRACEPARENT, trace),)
            key, value = record.cascade_id.encode(), topic.codec.encode(record)
            outputs.append(Output(topic.name, key, value, timestamp_ms, headers))
        return outputs

    def _refusals(
        self,
        events: Sequence[SocialEvent],
        verdicts: NDArray[np.int8],
        records: Sequence[ConsumerRecord],
        stamps: Stamps,
    ) -> list[Output]:
        """Dead letters of events that decode but cannot be true, or come too late to be counted."""
        outputs = []
        for i in np.flatnonzero(verdicts >= Verdict.BEFORE_ROOT).tolist():
            error, message = self._objection(
                events[i], Verdict(verdicts[i]), records[i], float(stamps.latest[i])
            )
            outputs.append(dead_letter(records[i], ROLE, error, message))
        self.noticed += noticed(
            records, verdicts == Verdict.IN_FUTURE, verdicts == Verdict.TOO_OLD, "cascades"
        )
        return outputs

    def _objection(
        self, event: SocialEvent, verdict: Verdict, message: ConsumerRecord, latest: float
    ) -> tuple[str, str]:
        """Class of error, and what is wrong with the event and what to do."""
        if verdict is Verdict.IN_FUTURE:
            return objection(message, event.timestamp, latest)
        if verdict is Verdict.BEFORE_ROOT:
            return "BeforeRootError", (
                f"timestamp {event.timestamp} is more than {self._settings.clock_skew:g} s before "
                f"the root of cascade {event.cascade_id!r}; correct the clock of the sender"
            )
        return "TooOldError", (
            f"cascade {event.cascade_id!r} would begin at {event.timestamp}, more than "
            f"{self._settings.max_lateness:g} s (setting max_lateness) behind what this partition "
            "holds by now; correct the clock of the sender, or send what is older first or into "
            "topics of its own"
        )

    def _count(self, verdicts: NDArray[np.int8], refused: int, skipped: int) -> None:
        of = np.bincount(verdicts, minlength=len(Verdict))
        self.counters["skipped"] += skipped
        self.counters["accepted"] += int(of[Verdict.ACCEPTED])
        self.counters["duplicate"] += int(of[Verdict.DUPLICATE])
        self.counters["closed"] += int(of[Verdict.CLOSED])
        self.counters["dead_letters"] += refused + int(of[Verdict.BEFORE_ROOT :].sum())
        self._count_of_store()

    def _count_of_store(self) -> None:
        self.counters["late"] = self.store.late
        self.counters["unknown_parents"] = self.store.unknown_parents
        self.counters["evicted"] = self.store.evicted


def main(settings: Settings) -> None:
    """Runs the tracker until it is told to stop.

    Raises:
        FormatError: the format of its topic cannot be used.
    """
    telemetry.setup(settings, ROLE)
    formats.chosen(settings, SOCIAL_EVENTS)  # said now, not with the first message
    # Compiles the kernel, seconds the first time, before the group expects heartbeats.
    CascadeStore(settings).advance(0.0)
    role = IngestRole(ROLE, SOCIAL_EVENTS, lambda _: TrackedPartition(settings), settings)
    asyncio.run(role.run())
