"""The edges of one partition of `edge.windows`: a function of its windows, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from aiokafka import ConsumerRecord
from numpy.typing import NDArray

from stream.checkpoints import object_state
from stream.checkpoints.content import Arrays, packed
from stream.ranker.decisions import Change, EdgeDecisions
from stream.serving.rankers import MakeRanker
from stream.settings import Settings
from stream.workers.agents import Received
from topics import consistency
from topics.catalogue import EDGE_WINDOWS
from topics.codecs import DecodeError
from topics.records import EdgeWindow


class RankedPartition:
    """The edges of one partition of `edge.windows`, after its windows up to `position`."""

    def __init__(self, settings: Settings, make: MakeRanker) -> None:
        self.position = 0
        self.committed = 0  # up to where what it answered is out and committed
        self.last: ConsumerRecord | Received | None = None  # before that position, where known
        self.edges: dict[str, EdgeDecisions] = {}  # the one silent longest first
        ranker = make()
        self.depends_on: Mapping[str, str] = {
            name: str(getattr(settings, name))
            for name in ("max_edges", "max_objects", "cache_objects", "cache_share",
                         "decision_windows")
        } | {"model": ranker.name, "model_version": ranker.version}  # fmt: skip
        self._settings = settings
        self._make = make

    def step(self, window: EdgeWindow, produced_at: float) -> list[Change]:
        """What changes after a window, the next of the partition."""
        edge = self.edges.pop(window.edge_id, None)
        if edge is None:
            if len(self.edges) >= self._settings.max_edges:
                del self.edges[next(iter(self.edges))]
            edge = EdgeDecisions(window.edge_id, self._make(), self._settings)
        self.edges[window.edge_id] = edge
        return edge.step(window, produced_at)

    def save(self) -> dict[str, NDArray[Any]]:
        """A copy of the edges, for `restore`."""
        names = packed(msgspec.msgpack.encode(list(self.edges)))
        return {"edges": names, **object_state.save(list(self.edges.values()))}

    def restore(self, arrays: Arrays) -> None:
        """Makes the edges what was saved."""
        names = msgspec.msgpack.decode(arrays["edges"].tobytes(), type=list[str])
        edges = [EdgeDecisions(name, self._make(), self._settings) for name in names]
        object_state.restore(edges, arrays)
        self.edges = dict(zip(names, edges, strict=True))

    def take_in(self, records: Iterable[ConsumerRecord]) -> None:
        """Steps windows whose decisions were published before; bad ones were dead letters then."""
        for record in records:
            self.last = record
            window = usable(record.value)
            if isinstance(window, EdgeWindow):
                self.step(window, 0.0)


def usable(value: bytes | None) -> EdgeWindow | DecodeError:
    """The window in a message's value, or what makes it unusable."""
    try:
        window = EDGE_WINDOWS.codec.decode(value)
    except DecodeError as error:
        return error
    reason = consistency.of_window(window)
    return window if reason is None else DecodeError(reason)
