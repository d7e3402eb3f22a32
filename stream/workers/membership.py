"""Whether a worker may have been expelled from its consumer group without having noticed.

A worker that stood still past its session (frozen, swapped out, cut off) comes back in the middle
of batches that others have published since, and gone on from: its records would come after newer
ones of the same keys. So before it publishes again it commits once more what is committed, which
the broker refuses to one that is no member any more.
"""

from __future__ import annotations

import time


class Membership:
    """When the group last took this worker for a member.

    Args:
        session_timeout: seconds after which the group expels one that is silent.
    """

    def __init__(self, session_timeout: float) -> None:
        self._session_timeout = session_timeout
        self._confirmed_at = 0.0  # monotonic

    def confirm(self) -> None:
        """The group has just taken a commit, or given partitions."""
        self._confirmed_at = time.monotonic()

    @property
    def in_doubt(self) -> bool:
        """Whether the group may have expelled this worker since."""
        return time.monotonic() - self._confirmed_at >= self._session_timeout
