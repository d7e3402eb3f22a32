"""Tells of messages that a role could not use: a line of the log a second at most, with its trace.

Of what could not even be read, which is of many messages at once, the role's notices are told too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from stream.kafka.wire.batches import UNKNOWN_CODEC, UNREADABLE
from stream.telemetry.log_lines import Seldom
from stream.telemetry.notices import Notices
from stream.telemetry.traces import carried, trace_id
from stream.workers.output import Output
from topics.catalogue import DEAD_LETTERS

log = logging.getLogger(__name__)
_LONGEST = 300  # characters of a reason


_KINDS = {UNREADABLE: "unreadable_batch", UNKNOWN_CODEC: "unread_codec"}


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
        if any(name == "first_offset" for name, _ in letter.headers):
            self._notice(_told(letter))
        unsaid = self._seldom.due()
        if unsaid is None:
            return
        told = _told(letter)
        traceparent = carried(letter.headers)
        log.warning(
            "a message cannot be used and goes to %s: %s: %s; %d more went unsaid",
            DEAD_LETTERS.name, told["error"], told["message"][:_LONGEST], unsaid,
            extra={
                "trace_id": trace_id(traceparent) if traceparent else None,
                "source": f"{told['topic']}/{told['partition']}/{told['offset']}",
            },
        )  # fmt: skip

    def _notice(self, told: Mapping[str, str]) -> None:
        last = int(told["offset"])
        self._notices.note(
            _KINDS[told["error"]],
            told["topic"],
            int(told["partition"]),
            told["message"],
            count=last - int(told["first_offset"]) + 1,
            offset=last,
        )


def _told(letter: Output) -> dict[str, str]:
    return {name: value.decode(errors="backslashreplace") for name, value in letter.headers}
