"""Log records as lines: JSON for machines, text for people.

A JSON line has `time` (UTC, ISO 8601), `level`, `role`, `instance`, `logger` and `message`;
`trace_id` where it is about one record, and whatever else its caller gave as `extra`; and of an
error `error` (its class) and `traceback`.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from threading import Lock
from typing import Any

import orjson

# What every record has; the rest is what its caller gave.
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """A record as one line of JSON.

    >>> record = logging.makeLogRecord({"msg": "%d lost", "args": (3,), "trace_id": "4bf9"})
    >>> line = orjson.loads(JsonLines("tracker", "0").format(record))
    >>> line["role"], line["message"], line["trace_id"]
    ('tracker', '3 lost', '4bf9')
    """

    def __init__(self, role: str, instance: str) -> None:
        super().__init__()
        self._role = role
        self._instance = instance

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "role": self._role,
            "instance": self._instance,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _USUAL}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class TextLines(logging.Formatter):
    """A record as a line for a person; its trace id, if it has one, at the end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without a traceback."""
        line = super().formatMessage(record)
        trace = vars(record).get("trace_id")
        return f"{line} [trace {trace}]" if trace else line


class Seldom:
    """Lets one of many alike be logged, and says how many were not.

    Args:
        seconds: between one and the next.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        self._seconds = seconds
        self._next = 0.0
        self._unsaid = 0
        self._lock = Lock()

    def due(self) -> int | None:
        """How many went unsaid since the last time, if it is time for one; None if it is not."""
        now = time.monotonic()
        with self._lock:
            if now < self._next:
                self._unsaid += 1
                return None
            unsaid, self._unsaid = self._unsaid, 0
            self._next = now + self._seconds
            return unsaid
