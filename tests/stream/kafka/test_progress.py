"""How far a role has come on a partition."""

from __future__ import annotations

import pytest

from stream.kafka.progress import reached


@pytest.mark.parametrize(
    ("committed", "begin", "end", "expected"),
    [
        (-1, 0, 9, 0),  # nothing committed
        (4, 0, 9, 4),
        (9, 0, 9, 9),
        (4, 6, 9, 6),  # trimmed unread
        (40, 0, 9, 0),  # of a log that is no more
        (40, 0, 0, 0),
    ],
)
def test_what_is_committed_counts_within_the_log(
    committed: int, begin: int, end: int, expected: int
) -> None:
    assert reached(committed, begin, end) == expected
