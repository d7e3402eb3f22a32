"""Times as they are written, against Python's own arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sources.formats.errors import FieldError, FormatError
from stream.sources.formats.times import reader

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("seconds", NOON),
        ("seconds", f"{NOON:.3f}"),
        ("milliseconds", NOON * 1e3),
        ("microseconds", str(int(NOON * 1e6))),
        ("nanoseconds", int(NOON * 1e9)),
        ("unix", NOON * 1e3),
        ("unix", NOON),
        ("iso", "2026-05-01T12:00:00Z"),
        ("iso", "2026-05-01T14:00:00.000000000+02:00"),
        ("iso", "2026-05-01T12:00:00+0000"),
        ("iso", "2026-05-01 12:00:00"),
        ("common-log", "01/May/2026:14:00:00 +0200"),
        ("common-log", "[01/May/2026:12:00:00 +0000]"),
        ("common-log", "01/May/2026:12:00:00.000"),
        ("%d.%m.%Y %H:%M", "01.05.2026 12:00"),
        ("any", NOON),
        ("any", str(NOON * 1e6)),
        ("any", "2026-05-01T12:00:00Z"),
        ("any", "01/May/2026:12:00:00 +0000"),
    ],
)
def test_it_is_noon_whoever_writes_it(kind: str, value: Any) -> None:
    assert reader(kind, "")(value) == NOON


@pytest.mark.parametrize("kind", ["iso", "common-log", "%d/%b/%Y:%H:%M:%S", "any"])
def test_a_time_without_its_zone_is_of_the_one_that_is_told(kind: str) -> None:
    text = "2026-05-01T14:00:00" if kind in ("iso", "any") else "01/May/2026:14:00:00"
    assert reader(kind, "+02:00")(text) == NOON
    assert reader(kind, "+0200")(text) == NOON
    assert reader(kind, "")(text) == NOON + 7_200


@given(st.datetimes(datetime(1990, 1, 1), datetime(2099, 1, 1)), st.integers(-14 * 4, 14 * 4))
def test_common_log_is_what_a_format_of_strptime_says(moment: datetime, quarters: int) -> None:
    there = timezone(timedelta(minutes=15 * quarters))
    text = moment.replace(microsecond=0, tzinfo=there).strftime("%d/%b/%Y:%H:%M:%S %z")
    by_format = reader("%d/%b/%Y:%H:%M:%S %z", "")(text)
    assert reader("common-log", "")(text) == by_format


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("seconds", "noon"),
        ("seconds", True),
        ("seconds", [1]),
        ("iso", 12),
        ("iso", "yesterday"),
        ("common-log", "01/Mai/2026:12:00:00 +0200"),
        ("common-log", "31/Feb/2026:12:00:00 +0200"),
        ("common-log", None),
        ("%H:%M", "noon"),
        ("any", "noon"),
    ],
)
def test_what_is_no_time_is_refused_with_what_was_got(kind: str, value: Any) -> None:
    with pytest.raises(FieldError, match=r"got .*; expected"):
        reader(kind, "")(value)


def test_a_kind_and_a_zone_that_there_are_not_are_refused_at_once() -> None:
    with pytest.raises(FormatError, match="expected one of any, seconds"):
        reader("epoch", "")
    with pytest.raises(FormatError, match=r"such as \+02:00"):
        reader("iso", "CEST")
