"""Transactions that stay open: what lies behind the first record of one waits for its end.

A producer that has died leaves its transaction to the broker, which aborts it after the producer's
`transaction.timeout.ms`; one that nobody ends, as brokers have been known to leave behind, holds a
partition for ever, while nothing is late by its committed offset. So a role says so.
"""

from __future__ import annotations

from aiokafka import TopicPartition

from stream.telemetry.notices import Notices

# Longer than producers are given by default; and how often it is said again.
PATIENCE = 60.0


class HeldBack:
    """Notices partitions whose stable end stands still before their end."""

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        # Where each of those stands still, and since when, or since it was last said.
        self._standing: dict[TopicPartition, tuple[int, float]] = {}

    def look(self, source: TopicPartition, stable: int, end: int, now: float) -> None:
        """Where a partition's stable end and its end are; at `now`, monotonic seconds."""
        at, since = self._standing.get(source, (stable, now))
        if stable >= end:
            self._standing.pop(source, None)
        elif at != stable:
            self._standing[source] = stable, now
        elif now - since <= PATIENCE:
            self._standing[source] = stable, since
        else:
            self._standing[source] = stable, now
            self._notices.note(
                "open_transaction",
                source.topic,
                source.partition,
                f"a transaction has been open for more than {PATIENCE:.0f} s; {end - stable} "
                f"messages from offset {stable} on wait for its end",
                offset=stable,
            )
