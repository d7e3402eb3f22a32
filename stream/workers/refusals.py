"""Tells of messages that a role could not use: a line of the log a second at most, with its trace.

Of what could not even be read, which is of many messages at once, and of what a topic did not take,
the role's notices are told too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from stream.kafka.wire.batches import UNKNOWN_CODEC, UNREADABLE
from stream.telemetry.log_lines import Seldom
from stream.telemetry.notices import Notices
from stream.telemetry.traces import carried, trace_id
from stream.workers.publishing.output import TOO_LARGE, Output
from topics.catalogue import DEAD_LETTERS

log = logging.getLogger(__name__)
_LONGEST = 300  # characters of a reason

_KINDS = {
    UNREADABLE: "unreadable_batch",
    UNKNOWN_CODEC: "unread_codec",
    TOO_LARGE: "too_large",
}


class Refusals:
    """Logs the dead letters among what was published; tells `notices` of batches among them."""

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self._seldom = Seldom()

    def note(self, outputs: Iterable[tuple[int, Output]]) -> None:
        """These were published."""
        for _, output in outputs:
            if output.topic == DEAD_LETTERS.name:
                self._tell(output)

    def _tell(self, letter: Output) -> None:
        named = {name for name, _ in letter.headers}
        if "first_offset" in named or "offset" not in named:
            self._notice(_told(letter))
        unsaid = self._seldom.due()
        if unsaid is None:
            return
        told = _told(letter)
        traceparent = carried(letter.headers)
        place = [told[part] for part in ("topic", "partition", "offset") if part in told]
        log.warning(
            "a message cannot be used and goes to %s: %s: %s; %d more went unsaid",
            DEAD_LETTERS.name, told["error"], told["message"][:_LONGEST], unsaid,
            extra={
                "trace_id": trace_id(traceparent) if traceparent else None,
                "source": "/".join(place),
            },
        )  # fmt: skip

    def _notice(self, told: Mapping[str, str]) -> None:
        """Of a batch that could not be read, or a message that its topic does not take."""
        kind, last = _KINDS[told["error"]], told.get("offset")
        count = 1 if last is None else int(last) - int(told["first_offset"]) + 1
        self._notices.note(
            kind, told["topic"], int(told["partition"]), told["message"],
            count=count, offset=None if last is None else int(last),
        )  # fmt: skip


def _told(letter: Output) -> dict[str, str]:
    return {name: value.decode(errors="backslashreplace") for name, value in letter.headers}
