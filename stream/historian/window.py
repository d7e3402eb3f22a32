"""One window of time of all edges of a partition, while it is open.

Requests are kept as columns: a code for each pair of edge and object, and what is known beside
it. `close` sorts them by edge, once, and cuts what is too large for one message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream.checkpoints.content import Arrays, packed
from stream.settings import Settings
from topics.records import EdgeWindow

# Bytes of an EdgeWindow in MessagePack: its fields and their names without the arrays; a request
# (in `order`); an object beside its name (in `count` and `size`, and the length of the name).
_ENVELOPE_BYTES = 256
_REQUEST_BYTES = 4
_OBJECT_BYTES = 4 + 8 + 3
# An id that is longer takes the room of two objects, or of as many as its length comes to.
_ID_LENGTH = 256


class _PairCodes(dict[tuple[str, str], int]):
    """Codes of (edge, object) in order of first request; -1 for pairs beyond a bound."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self.objects: dict[str, int] = {}  # objects of each edge
        self._room = settings.max_window_objects

    def __missing__(self, pair: tuple[str, str]) -> int:
        edge = pair[0]
        known = self.objects.get(edge, 0)
        code = len(self)
        room = 1 + (len(pair[1]) - 1) // _ID_LENGTH
        if known >= self._settings.max_objects or room > self._room:
            return -1
        self._room -= room
        self.objects[edge] = known + 1
        self[pair] = code
        return code


class OpenWindow:
    """The requests of one window so far."""

    def __init__(self, number: int, settings: Settings) -> None:
        self._number = number
        self._settings = settings
        self._codes = _PairCodes(settings)
        self._rows: list[NDArray[np.int32]] = []  # code of each request
        self._hits: list[NDArray[np.int8]] = []  # 1, 0, or -1 where not reported
        self._sizes = np.zeros(0, np.int64)  # of each code, 0 where unknown
        self._offered = 0

    def add(
        self,
        pairs: Sequence[tuple[str, str]],
        sizes: NDArray[np.int64],
        hits: NDArray[np.int8],
    ) -> NDArray[np.bool_]:
        """Takes in requests; says which were kept, the others being beyond a bound.

        Args:
            pairs: edge and object of each request.
            sizes: its bytes, 0 where unknown, shape (len(pairs),); the last one known counts.
            hits: 1 for a hit, 0 for a miss, -1 where not reported, shape (len(pairs),).
        """
        kept = np.zeros(len(pairs), np.bool_)
        room = max(0, self._settings.max_window_requests - self._offered)
        self._offered += len(pairs)
        if len(pairs) > room:
            pairs, sizes, hits = pairs[:room], sizes[:room], hits[:room]
        codes = np.fromiter(map(self._codes.__getitem__, pairs), np.int32, len(pairs))
        bounded = codes >= 0
        kept[: len(pairs)] = bounded
        if not bounded.all():
            codes, sizes, hits = codes[bounded], sizes[bounded], hits[bounded]
        self._rows.append(codes)
        self._hits.append(hits)
        if len(self._codes) > self._sizes.size:
            more = max(len(self._codes), self._sizes.size * 3 // 2) - self._sizes.size
            self._sizes = np.concatenate([self._sizes, np.zeros(more, np.int64)])
        known = sizes > 0
        self._sizes[codes[known]] = sizes[known]  # of repeated codes the last one stands
        return kept

    def save(self) -> dict[str, NDArray[Any]]:
        """A copy of the requests so far, for `restore`."""
        self._rows = [np.concatenate([np.zeros(0, np.int32), *self._rows])]
        self._hits = [np.concatenate([np.zeros(0, np.int8), *self._hits])]
        return {
            "pairs": packed(msgspec.msgpack.encode(list(self._codes))),
            "rows": self._rows[0],  # which nothing changes
            "hits": self._hits[0],
            "sizes": self._sizes[: len(self._codes)].copy(),
            "offered": np.array([self._offered]),
        }

    def restore(self, arrays: Arrays) -> None:
        """Makes an empty window of the same settings the one that was saved."""
        for pair in msgspec.msgpack.decode(arrays["pairs"].tobytes(), type=list[tuple[str, str]]):
            self._codes[pair]
        self._rows, self._hits = [arrays["rows"]], [arrays["hits"]]
        self._sizes = arrays["sizes"].copy()
        self._offered = int(arrays["offered"][0])

    def close(self) -> list[EdgeWindow]:
        """The window of each edge, in order of the edges' ids, in parts where it is large."""
        if not self._codes:
            return []
        edges = sorted(self._codes.objects)
        numbers = {edge: number for number, edge in enumerate(edges)}
        names = np.array([name for _, name in self._codes], object)
        # Sorted by edge, codes of one edge stay in order of first request, requests of arrival.
        edge_of = np.fromiter((numbers[edge] for edge, _ in self._codes), np.int32, len(names))
        by_edge = np.argsort(edge_of, kind="stable")
        objects = np.bincount(edge_of)
        objects_end = np.cumsum(objects)
        index = np.empty(len(names), np.int32)  # of a code among its edge's objects
        index[by_edge] = np.arange(len(names)) - np.repeat(objects_end - objects, objects)
        rows = np.concatenate(self._rows)
        hits = np.concatenate(self._hits)
        edge_of_row = edge_of[rows]
        rows_by_edge = np.argsort(edge_of_row, kind="stable")
        rows_end = np.cumsum(np.bincount(edge_of_row))
        windows: list[EdgeWindow] = []
        for edge, codes, own in zip(
            edges,
            np.split(by_edge, objects_end[:-1]),
            np.split(rows_by_edge, rows_end[:-1]),
            strict=True,
        ):
            windows += self._parts(
                edge, names[codes].tolist(), self._sizes[codes], index[rows[own]], hits[own]
            )
        return windows

    def _parts(
        self,
        edge: str,
        objects: list[str],
        sizes: NDArray[np.int64],
        order: NDArray[np.int32],
        hits: NDArray[np.int8],
    ) -> list[EdgeWindow]:
        """One edge's window, cut in order of requests so that each part fits into a message."""
        room = self._settings.message_bytes - _ENVELOPE_BYTES - 2 * len(edge.encode())
        cost = np.fromiter(map(len, map(str.encode, objects)), np.int64, len(objects))
        cost += _OBJECT_BYTES
        if cost.sum() + _REQUEST_BYTES * order.size <= room:
            return [self._record(edge, 0, 1, objects, sizes, order, hits)]
        cuts = part_starts(order, cost, room)
        parts = []
        for own, flags in zip(np.split(order, cuts), np.split(hits, cuts), strict=True):
            used, first, within = np.unique(own, return_index=True, return_inverse=True)
            ranking = np.argsort(first)  # objects of this part in order of first request
            rank = np.empty(used.size, np.int32)
            rank[ranking] = np.arange(used.size)
            chosen = used[ranking]
            names = [objects[i] for i in chosen.tolist()]
            parts.append((names, sizes[chosen], rank[within], flags))
        return [self._record(edge, number, len(parts), *part) for number, part in enumerate(parts)]

    def _record(
        self,
        edge: str,
        part: int,
        parts: int,
        objects: list[str],
        sizes: NDArray[np.int64],
        order: NDArray[np.int32],
        hits: NDArray[np.int8],
    ) -> EdgeWindow:
        counts = np.bincount(order, minlength=len(objects))
        return EdgeWindow(
            edge_id=edge,
            start=self._number * float(self._settings.window),
            length=float(self._settings.window),
            part=part,
            parts=parts,
            objects=objects,
            count=counts.astype("<i4").tobytes(),
            size=sizes.astype("<i8").tobytes(),
            order=order.astype("<i4").tobytes(),
            reported=int(np.count_nonzero(hits >= 0)),
            reported_hits=int(np.count_nonzero(hits == 1)),
        )


@njit(cache=True)
def part_starts(order: Any, cost: Any, room: int) -> Any:
    """Positions at which parts begin, the first aside, so that each part costs `room` at most.

    A part holds at least one request, whatever it costs.
    """
    cuts: list[int] = []
    seen = np.full(cost.size, -1, np.int64)  # the part that an object was last put in
    used, start = 0, 0
    for position in range(order.size):
        item = order[position]
        price = _REQUEST_BYTES + (cost[item] if seen[item] != len(cuts) else 0)
        if used + price > room and position > start:
            cuts.append(position)
            start = position
            used = 0
            price = _REQUEST_BYTES + cost[item]
        seen[item] = len(cuts)
        used += price
    return np.array(cuts, np.int64)


def compile_kernel() -> None:
    """Compiles what cuts large windows, seconds the first time, before a group waits for it."""
    part_starts(np.zeros(1, np.int32), np.zeros(1, np.int64), 1)
