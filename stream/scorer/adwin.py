"""ADWIN: a window over a stream of values, cut where the mean of what comes has changed.

Bifet and Gavaldà, "Learning from Time-Changing Data with Adaptive Windowing", SIAM SDM 2007: its
second algorithm, ADWIN2. The window is held as an exponential histogram: row r has up to
`_BUCKETS` buckets of 2^r values each, of which only the sum and the sum of squared deviations are
kept, so a window of n values takes O(log n). Every `_EVERY` values each bound between two buckets
is tried as a cut, by the test that the paper gives for a normal approximation.

River has the same (`river.drift.ADWIN`, which the tests hold this to, value by value), and brings
SciPy along: more to install and to import than all the rest of a scorer.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

_BUCKETS = 5  # of a row; the sixth has the two oldest merged into one of the next row
_EVERY = 32  # values between two looks for a cut
_SHORTEST = 5  # values of either part of a cut
_GRACE = 10  # values before the first look


class _Bucket(NamedTuple):
    """Values next to each other: their sum, and the sum of their squared deviations."""

    total: float
    deviation: float


class Adwin:
    """The mean of the latest values for as long as nothing speaks against there being one mean.

    Args:
        delta: how likely a cut is where nothing has changed.
    """

    def __init__(self, delta: float) -> None:
        self._delta = delta
        self._rows: list[deque[_Bucket]] = [deque()]  # in each the oldest first
        self._values = 0
        self._width = 0
        self._total = 0.0
        self._deviation = 0.0

    @property
    def width(self) -> int:
        """Values in the window."""
        return self._width

    @property
    def mean(self) -> float:
        """Of the values in the window; 0 of none."""
        return self._total / self._width if self._width else 0.0

    def update(self, value: float) -> bool:
        """Takes in the next value; True when the window was cut, for the mean has changed."""
        if self._width:
            self._deviation += self._width * (value - self.mean) ** 2 / (self._width + 1)
        self._width += 1
        self._total += value
        self._rows[0].append(_Bucket(value, 0.0))
        self._merge()
        self._values += 1
        if self._values % _EVERY or self._width <= _GRACE:
            return False
        was_cut = False
        while self._has_cut():
            self._drop_oldest()
            was_cut = True
        return was_cut

    def _merge(self) -> None:
        """Merges the two oldest buckets of each row that has one too many."""
        for row, buckets in enumerate(self._rows):
            if len(buckets) <= _BUCKETS:
                return
            if row + 1 == len(self._rows):
                self._rows.append(deque())
            size = float(1 << row)
            merged = _joined(buckets.popleft(), size, buckets.popleft(), size)
            self._rows[row + 1].append(merged)

    def _has_cut(self) -> bool:
        """Whether the means before and behind some bound differ by more than chance allows."""
        before = after = 0.0
        old, new = 0.0, float(self._width)
        after = self._total
        for row in range(len(self._rows) - 1, -1, -1):
            size = float(1 << row)
            for bucket in list(self._rows[row])[: None if row else -1]:
                old, new = old + size, new - size
                before, after = before + bucket.total, after - bucket.total
                if min(old, new) >= _SHORTEST and self._differ(old, before, new, after):
                    return True
        return False

    def _differ(self, old: float, before: float, new: float, after: float) -> bool:
        """Theorem 3.2 of the paper, with its normal approximation of the bound."""
        variance = max(self._deviation, 0.0) / self._width  # what is dropped may round below 0
        confidence = math.log(2 * math.log(self._width) / self._delta)
        scale = 1 / (old - _SHORTEST + 1) + 1 / (new - _SHORTEST + 1)
        bound = math.sqrt(2 * scale * variance * confidence) + 2 / 3 * confidence * scale
        return abs(before / old - after / new) > bound

    def _drop_oldest(self) -> None:
        oldest, size = self._rows[-1].popleft(), float(1 << (len(self._rows) - 1))
        self._width -= int(size)
        self._total -= oldest.total
        apart = oldest.total / size - self.mean
        self._deviation -= oldest.deviation + size * self._width * apart**2 / (size + self._width)
        if not self._rows[-1]:
            self._rows.pop()


def _joined(a: _Bucket, a_size: float, b: _Bucket, b_size: float) -> _Bucket:
    apart = a.total / a_size - b.total / b_size
    between = a_size * b_size * apart**2 / (a_size + b_size)
    return _Bucket(a.total + b.total, a.deviation + b.deviation + between)
