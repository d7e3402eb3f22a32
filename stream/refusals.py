"""Tells the log of messages that a role could not use: a line a second at most, with its trace."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from stream.log_lines import Seldom
from stream.traces import carried, trace_id
from topics.catalogue import DEAD_LETTERS

if TYPE_CHECKING:
    from stream.consumer import Output

log = logging.getLogger(__name__)
_LONGEST = 300  # characters of a reason


class Refusals:
    """Logs the dead letters among what was published."""

    def __init__(self) -> None:
        self._seldom = Seldom()

    def note(self, outputs: Iterable[tuple[int, Output]]) -> None:
        """These were published."""
        for _, output in outputs:
            if output.topic == DEAD_LETTERS.name:
                self._tell(output)

    def _tell(self, letter: Output) -> None:
        unsaid = self._seldom.due()
        if unsaid is None:
            return
        told = {name: value.decode(errors="backslashreplace") for name, value in letter.headers}
        traceparent = carried(letter.headers)
        log.warning(
            "a message cannot be used and goes to %s: %s: %s; %d more went unsaid",
            DEAD_LETTERS.name, told["error"], told["message"][:_LONGEST], unsaid,
            extra={
                "trace_id": trace_id(traceparent) if traceparent else None,
                "source": f"{told['topic']}/{told['partition']}/{told['offset']}",
            },
        )  # fmt: skip
