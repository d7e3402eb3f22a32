"""Which offsets of a partition may be committed, in whatever order the work on them is done.

begun      up to 40       up to 70       up to 100
done                      yes            yes           -> nothing may be committed
done       yes            yes            yes           -> 100 may be
"""

from __future__ import annotations

from collections import deque


class OffsetLedger:
    """The stretches of one partition that are being worked on, in the order of their offsets.

    Attributes:
        committable: all before this offset is done.
    """

    def __init__(self, start: int) -> None:
        """Args:
        start: all before it is done already.
        """
        self.committable = start
        self._ends: deque[int] = deque()  # of the stretches that are not committable yet
        self._done: set[int] = set()

    @property
    def begun(self) -> int:
        """All before this offset is done or being worked on."""
        return self._ends[-1] if self._ends else self.committable

    def begin(self, end: int) -> None:
        """Work on all up to before offset `end` that was not begun before.

        Raises:
            ValueError: that much was begun already.
        """
        if end <= self.begun:
            raise ValueError(
                f"end: got {end}; expected more than {self.begun}, which is begun already"
            )
        self._ends.append(end)

    def done(self, end: int) -> None:
        """The stretch that was begun as ending at `end` is done; saying so again changes nothing.

        Raises:
            ValueError: no such stretch was begun.
        """
        if end <= self.committable:
            return
        if end not in self._ends:
            raise ValueError(f"end: got {end}; expected one of {list(self._ends)}")
        self._done.add(end)
        while self._ends and self._ends[0] in self._done:
            self.committable = self._ends.popleft()
            self._done.discard(self.committable)
