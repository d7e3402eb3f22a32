"""What a batch of messages of `cascade.snapshots` holds: snapshots, and what cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stream.telemetry import traces
from stream.workers.agents import Received
from stream.workers.publishing.output import Output, dead_letter
from topics import consistency
from topics.catalogue import CASCADE_SNAPSHOTS
from topics.codecs import DecodeError
from topics.consistency import EVENT_BYTES
from topics.records import CascadeSnapshot


class Asked(NamedTuple):
    """A snapshot, and the message that brought it."""

    message: Received
    snapshot: CascadeSnapshot

    @property
    def traceparent(self) -> bytes:
        """That of its message; one derived from its id where an older tracker gave none."""
        return traces.of(self.message.headers, self.snapshot.snapshot_id)

    @property
    def events(self) -> int:
        """How many events the snapshot describes: what a model works on."""
        return len(self.snapshot.delay) // EVENT_BYTES


def decode(messages: Sequence[Received], role: str) -> tuple[list[Asked], list[tuple[int, Output]]]:
    """The usable snapshots, and for each other message its partition and a dead letter.

    Args:
        role: who cannot use them.
    """
    snapshots, undecodable = CASCADE_SNAPSHOTS.codec.decode_batch([m.value for m in messages])
    reasons = {bad.position: str(bad.error) for bad in undecodable}
    decoded = iter(snapshots)
    usable, dead = [], []
    for position, message in enumerate(messages):
        reason = reasons.get(position)
        if reason is None:
            snapshot = next(decoded)
            reason = consistency.of_snapshot(snapshot)
            if reason is None:
                usable.append(Asked(message, snapshot))
                continue
        dead.append((message.partition, dead_letter(message, role, DecodeError.__name__, reason)))
    return usable, dead
