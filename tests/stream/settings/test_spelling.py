"""Values of settings as they are written."""

from __future__ import annotations

import pytest

from stream.settings import Duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), (90, 90), ("90s", 90), ("1.5m", 90), ("1h", 3600), ("7d", 604800)],
)
def test_durations_may_carry_a_unit(text: str | float, seconds: float) -> None:
    assert Duration.parse(text) == seconds


@pytest.mark.parametrize("text", ["0s", "0.02s", "90s", "5m", "1h", "7d", "1296001s"])
def test_a_duration_is_written_as_it_may_be_read(text: str) -> None:
    assert str(Duration.parse(text)) == text
