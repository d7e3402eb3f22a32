"""The historian: requests at edges in, closed windows of requests out.

One handler a partition owns that partition's `EdgeHistories`; everything else is decoding and
encoding. A request that cannot be used goes to `dead.letters` with the reason.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from aiokafka import ConsumerRecord
from numpy.typing import NDArray

from stream.checkpoints.content import Arrays
from stream.historian import window
from stream.historian.histories import EdgeHistories, Verdict
from stream.settings import Settings
from stream.sources.formats import format as formats
from stream.telemetry import setup as telemetry
from stream.telemetry import spans, traces
from stream.telemetry.notices import Noticed
from stream.workers import keys
from stream.workers.ingest import IngestRole
from stream.workers.intake import decode
from stream.workers.publishing.output import Output, dead_letter, passed_on
from stream.workers.stamps import Stamps, noticed, objection
from topics.catalogue import EDGE_REQUESTS, EDGE_WINDOWS
from topics.records import EdgeRequest, EdgeWindow

ROLE = "historian"


class EdgePartition:
    """The edges of one partition of `edge.requests`. A `PartitionHandler`.

    Counters: `accepted` requests are in a window, `late` ones among them in a later one than their
    own; `dropped` ones were beyond a bound; `skipped` messages are none that count, by the format
    of the topic; `windows` counts messages, parts each for themselves.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self.histories = EdgeHistories(settings)
        self.counters = {
            "accepted": 0, "late": 0, "dropped": 0, "dead_letters": 0, "skipped": 0, "windows": 0,
        }  # fmt: skip
        self.depends_on: Mapping[str, str] = {
            name: str(getattr(settings, name))
            for name in (
                "window", "allowed_lateness", "max_lateness", "clock_skew", "clock_witnesses",
                "idle_advance", "max_objects", "max_window_objects", "max_window_requests",
                "event_bytes",
            )
        } | formats.depends_on(settings, EDGE_REQUESTS)  # fmt: skip
        self.noticed: list[Noticed] = []
        self._settings = settings
        self._clock = clock
        self._last_timestamp_ms = 0

    def process(self, records: Sequence[ConsumerRecord]) -> list[Output]:
        """Closed windows and dead letters of the next records of the partition."""
        with spans.stage("decode"):
            messages, requests, stamps, refused, heartbeats, skipped = decode(
                records, EDGE_REQUESTS, ROLE, self._settings, self._clock()
            )
        self.noticed += keys.noticed(messages, requests, EDGE_REQUESTS)
        with spans.stage("state"):
            verdicts, closed = self.histories.ingest(requests, stamps.latest)
        outputs = refused + [
            self._output(window, stamps.ms[cause], messages[cause].headers)
            for window, cause in closed
        ]
        outputs += self._refusals(requests, verdicts, messages, stamps)
        self._count(verdicts, len(refused), skipped)
        if messages:
            self._last_timestamp_ms = stamps.ms[-1]
        return outputs + passed_on(heartbeats, EDGE_WINDOWS)

    def idle(self, now: float) -> list[Output]:
        """Windows that come due as event time follows the wall clock `now`, unix seconds."""
        closed = self.histories.advance(now)
        return [self._output(window, self._last_timestamp_ms) for window in closed]

    def save(self) -> dict[str, NDArray[Any]]:
        """A copy of the open windows, and what `idle` goes by."""
        return self.histories.save() | {"last_timestamp_ms": np.array([self._last_timestamp_ms])}

    def restore(self, arrays: Arrays) -> None:
        """Makes the open windows what was saved."""
        self.histories.restore(arrays)
        self._last_timestamp_ms = int(arrays["last_timestamp_ms"][0])

    def _output(self, record: EdgeWindow, timestamp_ms: int, given: traces.Headers = ()) -> Output:
        """A window as a message. `given`: headers of the request that closed it."""
        self.counters["windows"] += 1
        value = EDGE_WINDOWS.codec.encode(record)
        trace = traces.of(given, record.window_id, self._settings.trace_share)
        headers = ((traces.TRACEPARENT, trace),)
        return Output(EDGE_WINDOWS.name, record.edge_id.encode(), value, timestamp_ms, headers)

    def _refusals(
        self,
        requests: Sequence[EdgeRequest],
        verdicts: NDArray[np.int8],
        records: Sequence[ConsumerRecord],
        stamps: Stamps,
    ) -> list[Output]:
        """Dead letters of requests that decode but cannot be true, or come too late to count."""
        outputs = []
        for i in np.flatnonzero(verdicts >= Verdict.TOO_OLD).tolist():
            timestamp = requests[i].timestamp
            if verdicts[i] == Verdict.IN_FUTURE:
                error, message = objection(records[i], timestamp, float(stamps.latest[i]))
            else:
                error = "TooOldError"
                message = (
                    f"timestamp {timestamp} is more than {self._settings.max_lateness:g} s "
                    "(setting max_lateness) behind what this partition holds by now; correct the "
                    "clock of the sender, or send what is older first or into topics of its own"
                )
            outputs.append(dead_letter(records[i], ROLE, error, message))
        self.noticed += noticed(
            records, verdicts == Verdict.IN_FUTURE, verdicts == Verdict.TOO_OLD, "requests"
        )
        return outputs

    def _count(self, verdicts: NDArray[np.int8], refused: int, skipped: int) -> None:
        of = np.bincount(verdicts, minlength=len(Verdict))
        self.counters["skipped"] += skipped
        self.counters["accepted"] += int(of[Verdict.ACCEPTED] + of[Verdict.LATE])
        self.counters["late"] += int(of[Verdict.LATE])
        self.counters["dropped"] += int(of[Verdict.DROPPED])
        self.counters["dead_letters"] += refused + int(of[Verdict.TOO_OLD :].sum())


def main(settings: Settings) -> None:
    """Runs the historian until it is told to stop.

    Raises:
        FormatError: the format of its topic cannot be used.
    """
    telemetry.setup(settings, ROLE)
    formats.chosen(settings, EDGE_REQUESTS)  # said now, not with the first message
    window.compile_kernel()
    role = IngestRole(ROLE, EDGE_REQUESTS, lambda _: EdgePartition(settings), settings)
    asyncio.run(role.run())
