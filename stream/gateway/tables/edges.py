"""The edges that the gateway holds: their epochs, and the decisions in force."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from stream.gateway.tables.views import Edge, EdgePage, EdgeRow
from topics.records import CacheDecision, EdgeEpoch

_EPOCHS = 288  # kept of an edge: a day of windows of five minutes
_KEY = msgspec.json.Decoder(list[str])


@dataclass(slots=True)
class Entry:
    """One edge."""

    edge_id: str
    epochs: deque[EdgeEpoch] = field(default_factory=lambda: deque(maxlen=_EPOCHS))
    decisions: dict[str, CacheDecision] = field(default_factory=dict)
    left_out: bool = False  # decisions were not kept, for want of room

    @property
    def event_time(self) -> float:
        """The end of the last window."""
        last = self.epochs[-1]
        return last.window_start + last.window_length

    def average(self, ratio: Callable[[EdgeEpoch], float | None]) -> float | None:
        """A ratio over the epochs that tell it, weighted by requests; None if none does."""
        told = [(ratio(epoch), epoch.requests) for epoch in self.epochs]
        weighed = [(value, requests) for value, requests in told if value is not None]
        requests = sum(requests for _, requests in weighed)
        if not weighed:
            return None
        return sum(value * weight for value, weight in weighed) / max(requests, 1)

    def row(self) -> EdgeRow:
        """What a list shows of it."""
        return EdgeRow(
            self.edge_id,
            self.epochs[-1],
            len(self.epochs),
            sum(epoch.requests for epoch in self.epochs),
            self.average(lambda epoch: epoch.hit_ratio) or 0.0,
            self.average(lambda epoch: epoch.lru_hit_ratio) or 0.0,
            self.average(lambda epoch: epoch.decayed_hit_ratio),
            len(self.decisions),
        )


class EdgeTable:
    """Takes in decisions, withdrawals and epochs.

    Args:
        edges: held; the one silent longest makes room.
        decisions: held over all edges; what comes beyond them is counted, not kept.
    """

    def __init__(self, edges: int, decisions: int) -> None:
        self._limit = edges
        self._room = decisions
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._decisions = 0

    def __len__(self) -> int:
        return sum(bool(entry.epochs) for entry in self._entries.values())

    @property
    def decisions(self) -> int:
        """In force and held, over all edges."""
        return self._decisions

    def take_decision(self, decision: CacheDecision) -> None:
        """Takes in what an edge should do with one object."""
        entry = self._entry(decision.edge_id)
        known = decision.object_id in entry.decisions
        if not known and self._decisions >= self._room:
            entry.left_out = True
            return
        entry.decisions[decision.object_id] = decision
        self._decisions += not known

    def take_withdrawal(self, key: bytes | None) -> str | None:
        """Takes in a null value; returns the edge, or None where the key names no object.

        Raises:
            msgspec.DecodeError: the key is not a JSON array of texts.
        """
        names: Sequence[str] = _KEY.decode(key or b"")
        if len(names) != 2:
            return None
        entry = self._entries.get(names[0])
        if entry is not None and entry.decisions.pop(names[1], None) is not None:
            self._decisions -= 1
        return names[0]

    def take_epoch(self, epoch: EdgeEpoch) -> None:
        """Takes in the end of an epoch; decisions that have expired by then are dropped."""
        entry = self._entry(epoch.edge_id)
        if entry.epochs and epoch.epoch <= entry.epochs[-1].epoch:
            return  # a repeat
        entry.epochs.append(epoch)
        now = entry.event_time
        expired = [name for name, d in entry.decisions.items() if d.expires_at <= now]
        for name in expired:
            del entry.decisions[name]
        self._decisions -= len(expired)
        entry.left_out = entry.left_out and self._decisions >= self._room

    def page(self, offset: int, limit: int) -> EdgePage:
        """Edges by name. One of which no epoch has been read is not listed."""
        entries = sorted(
            (entry for entry in self._entries.values() if entry.epochs),
            key=lambda entry: entry.edge_id,
        )
        rows = [entry.row() for entry in entries[offset : offset + limit]]
        return EdgePage(len(entries), offset, rows)

    def edge(self, edge_id: str, text: str, offset: int, limit: int) -> Edge | None:
        """All about an edge, with some of its decisions; None where it is not held."""
        entry = self._entries.get(edge_id)
        if entry is None or not entry.epochs:
            return None
        text = text.lower()
        found = [d for d in entry.decisions.values() if text in d.object_id.lower()]
        found.sort(key=lambda decision: (-decision.score, decision.object_id))
        note = "" if not entry.left_out else (
            f"the gateway keeps {self._room:,} decisions over all edges "
            "(setting gateway_decisions); some of this edge are not among them"
        )  # fmt: skip
        page = found[offset : offset + limit]
        return Edge(entry.row(), list(entry.epochs), page, len(found), offset, note)

    def _entry(self, edge_id: str) -> Entry:
        entry = self._entries.get(edge_id)
        if entry is None:
            if len(self._entries) >= self._limit:
                _, dropped = self._entries.popitem(last=False)
                self._decisions -= len(dropped.decisions)
            entry = self._entries[edge_id] = Entry(edge_id)
        self._entries.move_to_end(edge_id)
        return entry
