"""Where a value lies in a record: `commit.record.subject.uri`, `hits[0].id`, `"client.ip".v4`.

A path is names with dots between them. What is in brackets counts the items of a list, from 0, or
from -1 at its end; a name that has a dot, a bracket, a brace or a colon is quoted. `.` is the
record itself. A value that is not there, one that is null, and an empty text are all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from stream.sources.formats.errors import FormatError

Getter = Callable[[Any], Any]
_STEP = re.compile(
    r"""(?P<dot>\.)?(?:"(?P<quoted>[^"]+)"|(?P<name>[^.\[\]{}":|]+))|\[(?P<at>-?\d+)\]"""
)


def parse(path: str) -> tuple[str | int, ...]:
    """The steps of a path.

    Raises:
        FormatError: it is none.

    >>> parse('records[0]."client.ip".v4')
    ('records', 0, 'client.ip', 'v4')
    """
    if path == ".":
        return ()
    steps: list[str | int] = []
    end = 0
    while step := _STEP.match(path, end):
        if step["at"] is None and bool(step["dot"]) != bool(steps):
            break
        steps.append(int(step["at"]) if step["at"] else step["quoted"] or step["name"])
        end = step.end()
    if end != len(path) or not steps:
        raise FormatError(
            f"path {path!r}: expected names with dots between them, such as user.id, "
            'items[0].id or "a.name".with_a_dot'
        )
    return tuple(steps)


def getter(path: str) -> Getter:
    """What looks a path up in a record, and gives None where there is nothing.

    Raises:
        FormatError: it is no path.
    """
    steps = parse(path)
    if len(steps) == 1 and isinstance(steps[0], str):
        [name] = steps
        return lambda record: record.get(name) if type(record) is dict else None

    def along(record: Any) -> Any:
        for step in steps:
            if type(record) is dict:
                record = record.get(step)
            elif type(record) is list and type(step) is int and -len(record) <= step < len(record):
                record = record[step]
            else:
                return None
        return record

    return along
