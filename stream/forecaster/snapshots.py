"""What a batch of messages of `cascade.snapshots` holds: snapshots, and what cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stream.telemetry import traces
from stream.workers.agents import Received
from stream.workers.ingest import Output, dead_letter
from topics.catalogue import CASCADE_SNAPSHOTS
from topics.codecs import DecodeError
from topics.records import BIN_EDGES, YEAR_2100, CascadeSnapshot

EVENT_BYTES = 4  # of one event in each packed array


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
            reason = inconsistency(snapshot)
            if reason is None:
                usable.append(Asked(message, snapshot))
                continue
        dead.append((message.partition, dead_letter(message, role, DecodeError.__name__, reason)))
    return usable, dead


def inconsistency(snapshot: CascadeSnapshot) -> str | None:
    """What in the snapshot contradicts itself and would mislead or stop a model, if anything."""
    lengths = {name: len(getattr(snapshot, name)) for name in ("delay", "parent", "depth", "user")}
    described = lengths["delay"] // EVENT_BYTES
    if len(set(lengths.values())) > 1 or lengths["delay"] % EVENT_BYTES:
        return f"packed arrays: got {lengths} bytes; expected equal lengths, 4 bytes an event"
    if snapshot.observed_count < described:
        return (
            f"observed_count: got {snapshot.observed_count}; "
            f"expected at least the {described} events that are described"
        )
    # A kernel goes from events to their parents without looking whether those are there.
    parents, delays = snapshot.parents(), snapshot.delays()
    if described and not -2 <= parents.min() <= parents.max() < described:
        return (
            f"parent: got {parents.min()} to {parents.max()}; "
            f"expected indices of {described} events, or -1 and -2"
        )
    if described and not (delays.min() >= 0 and delays.max() < YEAR_2100):
        return f"delay: got {delays.min()} to {delays.max()}; expected seconds, under 130 years"
    if len(snapshot.rest) not in (0, 4 * (len(BIN_EDGES) + 1)):
        return (
            f"rest: got {len(snapshot.rest)} bytes; "
            f"expected none or {4 * (len(BIN_EDGES) + 1)}, one count for each bin"
        )
    if snapshot.rest and snapshot.rest_counts().min() < 0:
        return f"rest: got {snapshot.rest_counts().min()}; expected counts of 0 or more"
    return None
