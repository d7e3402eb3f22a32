"""What has to hold of a record for it to count."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from stream.sources.formats.errors import FormatError
from stream.sources.formats.mapping import Condition
from stream.sources.formats.paths import parse
from stream.sources.formats.values import Value, together


def all_hold(conditions: Sequence[Condition], place: str) -> Value:
    """Whether all of them hold; of none that is always so.

    Raises:
        FormatError: one asks for nothing, or has an expression that is none.
    """
    return together([_holds(condition, place) for condition in conditions], lambda *held: all(held))


def _holds(condition: Condition, place: str) -> Value:
    tests: list[Callable[[Any], bool]] = []
    if condition.present is not None:
        there = condition.present
        tests.append(lambda found: (found not in (None, "")) is there)
    if condition.is_ is not None:
        allowed = _texts(condition.is_)
        tests.append(lambda found: _told(found) in allowed)
    if condition.not_ is not None:
        refused = _texts(condition.not_)
        tests.append(lambda found: _told(found) not in refused)
    if condition.matches is not None:
        try:
            matched = re.compile(condition.matches).match
        except re.error as error:
            raise FormatError(f"{place}: matches {condition.matches!r}: {error}") from error
        tests.append(lambda found: found is not None and matched(_told(found)) is not None)
    if not tests:
        raise FormatError(
            f"{place}: a condition on {condition.path} asks for nothing; expected is, not, matches "
            "or present"
        )
    parse(condition.path)
    return Value((condition.path,), lambda found: all(test(found) for test in tests))


def _texts(told: Any) -> frozenset[str]:
    return frozenset(map(_told, told if isinstance(told, list) else [told]))


def _told(value: Any) -> str:
    """As it is compared: 200 and "200" are the same, true and "true" too."""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
