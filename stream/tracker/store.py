"""The live cascades of one partition: a columnar store, and the clock that takes snapshots of them.

`CascadeStore.ingest` takes a batch of events in the order of the log and answers with what they
triggered. What it answers depends on the log alone: not on where batches end, not on the wall
clock, and for one cascade not on which others share its partition, as long as events are out of
order by no more than the allowed lateness.

Who owns what
    slots    one row a cascade: publication, counts, its next triggers, its place in the list of
             activity. A hash table leads from the cascade's hash to its slot.
    chunks   the first `max_events` events of a cascade, in order of arrival, as a list of chunks
             of eight. Finding a parent or a duplicate is a walk along that list.
    rests    only for cascades past that bound: counts of the later events by delay, and the
             hashes of the last few hundred of them, by which repeats are known.
    timers   a heap of the next time at which a cascade has an age snapshot, an outcome or its end.

Rules
    growth   the n-th distinct event of a cascade triggers at once (n = 10, 20, 40, ...). The
             snapshot holds the events that have arrived.
    age      a trigger at publication + age fires when the watermark (how far event time has come,
             by `stream.workers.event_clock`, less the allowed lateness) has passed it, and holds
             the events up to that age. Cascades smaller than the first growth trigger are passed
             over.
    behind   a cascade that begins behind the watermark, as those of a sender that is slow do, has
             all its triggers so much later: its count at an age is true, not what of it has come by
             then. One that would begin more than `max_lateness` behind is refused (`TOO_OLD`), and
             so is an event that would move its publication further back than that.
    outcome  likewise at the horizons; the last one closes the cascade.
    dormant  one that is smaller than the first growth trigger at its last horizon is not closed. If
             it wakes after that, it is followed for as long again, and ends with an outcome at that
             age; if a late event of before wakes it, its outcome at the last horizon ends it.
    root     a cascade whose root has not been seen counts from its earliest event; when the root
             comes, publication is its time. A post past the first age from the earliest event is
             not taken for the root: triggers may have fired without it.
    parent   looked up by event, then by user (the first event of that user); one that has not
             been seen by then is unknown, and the depth is taken as 1.
    closed   events of a cascade that was closed are counted and dropped: a second forecast of the
             same cascade under the same id would contradict the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.checkpoints.content import Arrays, packed
from stream.settings import Settings
from stream.tracker import kernel, packing
from stream.tracker.columns import SLOT, bytes_of, empty_state, with_room
from stream.tracker.saving import restored, saved
from stream.workers.event_clock import EventClock
from topics.hashing import hash_ids
from topics.records import BIN_EDGES, CascadeOutcome, CascadeSnapshot, SocialEvent

if TYPE_CHECKING:
    import networkx as nx


class Verdict(IntEnum):
    """What became of an event."""

    ACCEPTED = kernel.ACCEPTED
    DUPLICATE = kernel.DUPLICATE
    CLOSED = kernel.CLOSED
    BEFORE_ROOT = kernel.BEFORE_ROOT
    TOO_OLD = kernel.TOO_OLD
    IN_FUTURE = kernel.IN_FUTURE


class Fired(NamedTuple):
    """A record that a batch triggered, and the position in the batch of the event that did."""

    record: CascadeSnapshot | CascadeOutcome
    cause: int


class Ingested(NamedTuple):
    """What became of a batch: a `Verdict` for each event, and what fired, in order."""

    verdicts: NDArray[np.int8]
    fired: list[Fired]


class CascadeStore:
    """The cascades of one partition. Not safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        ages = sorted({*settings.snapshot_ages, *settings.horizons})
        self._rules = kernel.Rules(
            ages=np.array(ages, np.float64),
            takes_snapshot=np.isin(ages, settings.snapshot_ages),
            takes_outcome=np.isin(ages, settings.horizons),
            lateness=float(settings.allowed_lateness),
            oldest=float(settings.max_lateness),
            skew=float(settings.clock_skew),
            growth_first=settings.growth_first,
            growth_factor=float(settings.growth_factor),
            max_events=settings.max_events,
            max_cascades=settings.max_cascades,
            bin_edges=BIN_EDGES,
        )
        self._state = empty_state(settings.max_events, settings.max_cascades)
        self._clock = EventClock(settings)
        self._names: list[str | None] = []

    def ingest(self, events: Sequence[SocialEvent], latest: NDArray[np.float64]) -> Ingested:
        """Takes in a batch in the order of the log.

        Args:
            events: valid records.
            latest: unix seconds by which each has happened (`stream.workers.stamps`), shape
                (len(events),); an event later than that (and the clock skew) is refused.
        """
        n = len(events)
        time = np.fromiter([event.timestamp for event in events], np.float64, n)
        believed = time <= latest + self._rules.skew
        names = [event.cascade_id for event in events]
        batch = kernel.Batch(
            cascade=hash_ids(names),
            event=hash_ids([event.event_id for event in events]),
            user=hash_ids([event.user_id for event in events]),
            parent=_hash_optional([event.parent_id or "" for event in events]),
            parent_user=_hash_optional([event.parent_user_id or "" for event in events]),
            time=time,
            root=np.fromiter([event.kind == "post" for event in events], np.bool_, n),
            believed=believed,
            clock=self._clock.take(time, believed, np.full(n, -np.inf))[1],
        )
        return self._run(batch, names, -np.inf)

    def advance(self, watermark: float) -> list[Fired]:
        """Moves the watermark to at least `watermark` (unix seconds) without an event."""
        self._clock.advance(watermark + self._rules.lateness)
        return self._run(_NO_EVENTS, [], watermark).fired

    def graph(self, cascade_id: str) -> nx.DiGraph:
        """The kept events of a live cascade, an edge from each parent to its child.

        Nodes are numbered in order of time and carry `delay` (seconds since publication), `depth`
        and `user` (hash). Events whose parent is unknown have no edge.

        Raises:
            KeyError: the cascade is not live here.
        """
        state = self._state
        slot = kernel.find_slot(state, hash_ids([cascade_id])[0])
        if slot < 0:
            raise KeyError(f"cascade {cascade_id!r} is not live in this partition")
        kernel.pack(state, slot)
        kept = range(int(state.slots[slot]["kept"]))
        published_at = float(state.slots[slot]["published"])
        import networkx as nx  # only who looks into a store needs it

        graph = nx.DiGraph(cascade_id=cascade_id, published_at=published_at)
        for i in kept:
            delay, depth, user = float(state.delay[i]), int(state.depth[i]), int(state.user[i])
            graph.add_node(i, delay=delay, depth=depth, user=user)
        parents = ((int(state.parent[i]), i) for i in kept)
        graph.add_edges_from((parent, i) for parent, i in parents if parent >= 0)
        kernel.clear(state)
        return graph

    def save(self) -> dict[str, NDArray[Any]]:
        """A copy of all that the store's answers depend on, for `restore`."""
        arrays = saved(self._state)
        used = arrays["slots"].nbytes // SLOT.itemsize
        names = msgspec.msgpack.encode(self._names[:used])
        return {**arrays, **self._clock.save(), "names": packed(names)}

    def restore(self, arrays: Arrays) -> None:
        """Makes an empty store of the same settings answer as the one that was saved."""
        names = msgspec.msgpack.decode(arrays["names"].tobytes(), type=list[str | None])
        self._state = restored(arrays, self._rules.max_events, self._rules.max_cascades)
        self._clock.restore(arrays)
        self._names = names

    @property
    def live(self) -> int:
        """Cascades that are live."""
        return self._tally("live")

    @property
    def kept(self) -> int:
        """Events of live cascades that are kept exactly."""
        return self._tally("kept")

    @property
    def evicted(self) -> int:
        """Cascades closed early so far, to stay within `max_cascades`."""
        return self._tally("evicted")

    @property
    def late(self) -> int:
        """Accepted events so far that came after the watermark had passed them."""
        return self._tally("late")

    @property
    def unknown_parents(self) -> int:
        """Accepted events so far whose parent was not found, roots aside."""
        return self._tally("unknown_parents")

    @property
    def watermark(self) -> float:
        """Event time up to which age triggers have fired; -inf before the first event."""
        return float(self._state.tally["watermark"][0])

    @property
    def bytes(self) -> int:
        """Bytes of the rows, tables and timers in use, without the cascades' names."""
        return bytes_of(self._state)

    def _tally(self, name: str) -> int:
        return int(self._state.tally[name][0])

    def _run(self, batch: kernel.Batch, names: Sequence[str], watermark: float) -> Ingested:
        n = len(names)
        verdicts = np.empty(n, np.int8)
        opened = np.full(n, -1, np.int32)
        fired: list[Fired] = []
        position = 0
        while True:
            self._state = with_room(self._state, n - position, self._rules.max_events)
            position, finished = kernel.ingest(
                self._rules, self._state, batch, position, watermark, verdicts, opened
            )
            self._name_opened(names, opened)
            fired += self._drain()
            if finished:
                return Ingested(verdicts, fired)

    def _name_opened(self, names: Sequence[str], opened: NDArray[np.int32]) -> None:
        positions = np.flatnonzero(opened >= 0)
        spare = len(self._state.slots) - len(self._names)
        if spare:
            self._names.extend([None] * spare)
        for position in positions.tolist():
            self._names[opened[position]] = names[position]
        opened[positions] = -1

    def _drain(self) -> list[Fired]:
        """The records that the kernel left, which are thereby cleared."""
        state = self._state
        fired = []
        for row in state.fired[: self._tally("fired")].tolist():
            published, age, number, count, cause, start, stop, slot, rest, kind, rooted, final = row
            name = self._names[slot]
            if name is None:
                raise AssertionError(f"slot {slot} fired without a cascade in it")
            record: CascadeSnapshot | CascadeOutcome
            if kind == packing.OUTCOME:
                record = CascadeOutcome(name, published, age, count, final)
            else:
                trigger = f"{'n' if kind == packing.GROWTH else 'a'}{number}"
                record = CascadeSnapshot(
                    snapshot_id=f"{name}@{trigger}",
                    cascade_id=name,
                    trigger=trigger,
                    published_at=published,
                    age=age,
                    observed_count=count,
                    rooted=rooted,
                    delay=state.delay[start:stop].tobytes(),
                    parent=state.parent[start:stop].tobytes(),
                    depth=state.depth[start:stop].tobytes(),
                    user=state.user[start:stop].tobytes(),
                    rest=state.packed_rest[rest].tobytes() if rest >= 0 else b"",
                )
            fired.append(Fired(record, cause))
        for slot in kernel.clear(state):
            self._names[slot] = None
        return fired


def _hash_optional(ids: Sequence[str]) -> NDArray[np.uint64]:
    """Hashes of identifiers, `kernel.NONE` where there is none but "", shape (len(ids),)."""
    hashes = hash_ids(ids)
    hashes[hashes == _HASH_OF_NOTHING] = kernel.NONE
    return hashes


_HASH_OF_NOTHING = hash_ids([""])[0]
_NO_HASHES = np.empty(0, np.uint64)
_NO_EVENTS = kernel.Batch(
    cascade=_NO_HASHES,
    event=_NO_HASHES,
    user=_NO_HASHES,
    parent=_NO_HASHES,
    parent_user=_NO_HASHES,
    time=np.empty(0),
    root=np.empty(0, np.bool_),
    believed=np.empty(0, np.bool_),
    clock=np.empty(0),
)
