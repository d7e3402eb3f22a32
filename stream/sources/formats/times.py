"""Times as records have them, as unix seconds.

Sources: RFC 3339 and ISO 8601 (`iso`); the Common Log Format of NCSA's httpd, whose date HAProxy
gives a fraction and no zone (`common-log`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache, partial
from typing import Any

from stream.sources.formats.errors import FieldError, FormatError, shown

Reader = Callable[[Any], float]

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
_COMMON = re.compile(
    r"\[?(\d{2})/([A-Z][a-z]{2})/(\d{4}):(\d{2}):(\d{2}):(\d{2}(?:\.\d+)?)(?: ([+-]\d{4}))?\]?"
)
_ZONE = re.compile(r"([+-])(\d{2}):?(\d{2})")
# The least number that is taken for a time in each unit, that of 1973, and how many are a second.
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))


def reader(time: str, zone: str) -> Reader:
    """What reads times of a kind.

    Args:
        time: one of `KINDS`, or a format of `strptime`, which has a percent sign.
        zone: of times that do not tell theirs, such as +02:00; empty: UTC.

    Raises:
        FormatError: neither; or no zone.
    """
    there = _zone(zone) if zone else UTC
    if "%" in time:
        return partial(_by_format, time, there)
    if time not in KINDS:
        raise FormatError(
            f"time {time!r}: expected one of {', '.join(KINDS)}, or a format with %, such as "
            "%Y-%m-%d %H:%M:%S"
        )
    return partial(KINDS[time], there)


def _zone(text: str) -> tzinfo:
    found = _ZONE.fullmatch(text)
    if text in ("Z", "UTC"):
        return UTC
    if not found:
        raise FormatError(f"zone {text!r}: expected an offset from UTC, such as +02:00, or UTC")
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(offset if found[1] == "+" else -offset)


def _number(there: tzinfo, value: Any, unit: float = 1.0) -> float:
    try:
        if value.__class__ is not bool:
            return float(value) / unit
    except (TypeError, ValueError):
        pass
    raise FieldError(f"got {shown(value)}; expected a time as a number")


def _unix(there: tzinfo, value: Any) -> float:
    number = _number(there, value)
    for least, unit in _UNITS:
        if number >= least:
            return number / unit
    return number


def _iso(there: tzinfo, value: Any) -> float:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise FieldError(
            f"got {shown(value)}; expected a time such as 2026-05-01T12:00:00.5Z"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=there)).timestamp()


@lru_cache(maxsize=4_096)  # lines that follow one another are of one second
def _common_log(there: tzinfo, value: Any) -> float:
    found = _COMMON.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise FieldError(f"got {shown(value)}; expected a time such as 01/May/2026:12:00:00 +0200")
    day, month, year, hours, minutes, seconds, zone = found.groups()
    midnight = _midnight(year, month, day, zone, there)
    return midnight + 3_600 * int(hours) + 60 * int(minutes) + float(seconds)


@lru_cache(maxsize=1_024)  # a log has few days, and asks for each in every line
def _midnight(year: str, month: str, day: str, zone: str | None, there: tzinfo) -> float:
    try:
        at = datetime(int(year), _MONTHS[month], int(day), tzinfo=_zone(zone) if zone else there)
    except (KeyError, ValueError):
        raise FieldError(f"got {day}/{month}/{year}; expected a day such as 01/May/2026") from None
    return at.timestamp()


def _by_format(form: str, there: tzinfo, value: Any) -> float:
    try:
        found = datetime.strptime(value, form)
    except (TypeError, ValueError):
        raise FieldError(f"got {shown(value)}; expected a time as {form}") from None
    return (found if found.tzinfo else found.replace(tzinfo=there)).timestamp()


def _any(there: tzinfo, value: Any) -> float:
    if value.__class__ is str:
        if value[4:5] == "-":
            return _iso(there, value)
        if "/" in value:
            return _common_log(there, value)
    return _unix(there, value)


KINDS: dict[str, Callable[[tzinfo, Any], float]] = {
    "any": _any,
    "seconds": _number,
    "milliseconds": partial(_number, unit=1e3),
    "microseconds": partial(_number, unit=1e6),
    "nanoseconds": partial(_number, unit=1e9),
    "unix": _unix,
    "iso": _iso,
    "common-log": _common_log,
}
