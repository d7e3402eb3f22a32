"""Recorded cascades and requests as messages, in order of event time.

A file is read whole into columns (numpy arrays, about 30 bytes an event beside the identifiers)
and encoded only as its batches are taken. Every identifier is prefixed by the stem of its file
(`twitter1516/123`), so that those of different files never meet, and those of a cascade file and
a request file of one name do: the content of a `kuairand` cascade is the object of a `kuairand`
request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.data.cascades import read_cascades
from models.data.requests import read_requests
from stream.sources.messages import BATCH, EVENTS, REQUESTS, Message, SourceError
from topics.hashing import hash_ids
from topics.records import LONGEST_OBJECT, YEAR_2100, EdgeRequest, SocialEvent

# 2015-01-01T00:00:00Z. Fixed, so that the same command gives the same bytes; years ago, so that
# the longest delays on record still end in the past: events in the future are refused.
REBASE_START = 1_420_070_400.0
LONGEST_ID = 256 - len(":2147483647")  # leaves room for the event's number
Kind = Literal["share", "reply", "view"]  # of the events after the root


def stem(path: Path | str) -> str:
    """The file's name up to its first dot: `twitter1516` of `data/twitter1516.txt.xz`."""
    return Path(path).name.split(".")[0]


def content_of(cascade_id: str) -> str | None:
    """The content that a cascade spreads, where its identifier is `<source>-<content>`."""
    source, dash, content = cascade_id.partition("-")
    return content if source and dash and content and "-" not in content else None


def rebase(published: NDArray[np.float64], start: float, length: float) -> NDArray[np.float64]:
    """Publish times laid evenly onto [start, start + length), in the order they had.

    Recorded cascades are months apart in one file and seconds in the next; evenly spaced, every
    file gives a steady load. Ties keep the order given.
    """
    times = np.empty_like(published)
    places = start + length * np.arange(published.size) / max(published.size, 1)
    times[np.argsort(published, kind="stable")] = places
    return times


class CascadeReplay:
    """The events of cascade files, merged: topic `social.events`, keyed by cascade.

    Events with the same timestamp keep the order of the files, then of the cascades in a file,
    then of the events in a cascade. The event of number i in its cascade has the identifier
    `<cascade_id>:<i>`; the root is a `post`.

    Args:
        files: as `models.data.cascades` reads them.
        kind: of every event but the roots: share, reply or view.
        window: lays the publish times of each file onto a window of that many seconds that begins
            at `start` (see `rebase`); delays are kept. None keeps the recorded times.
        start: unix seconds; without effect unless `window` is given.

    Raises:
        SourceError: files of one stem, an identifier or a timestamp outside its bounds.
        DataFormatError: a file that is not in its format.
        OSError: a file cannot be read.
    """

    def __init__(
        self,
        files: Sequence[Path | str],
        *,
        kind: Kind = "share",
        window: float | None = None,
        start: float = REBASE_START,
    ) -> None:
        if kind not in get_args(Kind):
            raise SourceError(f"kind: got {kind!r}; expected one of {', '.join(get_args(Kind))}")
        if window is not None and not window >= 0:
            raise SourceError(f"window: got {window} seconds; expected 0 or more")
        stems = [stem(file) for file in files]
        for name in stems:
            if stems.count(name) > 1:
                raise SourceError(
                    f"two files are named {name}: identifiers begin with the file's name, "
                    "so rename one"
                )
        self.name = ", ".join(stems)
        self._kind: Kind = kind
        self._ids: list[str] = []
        self._contents: list[str | None] = []
        self._users: list[str] = []
        parts = [self._read(file, window, start) for file in files]
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        if not columns:
            raise SourceError("no file was given")
        order = np.argsort(columns[0], kind="stable")
        self._columns = [column[order] for column in columns]
        self.total: int | None = len(order)
        self.begins: Mapping[str, float] = {EVENTS: float(self._columns[0][0])}

    def _read(
        self, file: Path | str, window: float | None, start: float
    ) -> tuple[NDArray[np.float64], ...]:
        """Columns of one file: time, cascade, number in it, parent's number, user, its user."""
        prefix = stem(file)
        first_id = len(self._ids)
        user_index: dict[str, int] = {}
        base = len(self._users)
        published: list[float] = []
        delays: list[NDArray[np.float64]] = []
        parents: list[NDArray[np.int32]] = []
        users: list[NDArray[np.int32]] = []
        parent_users: list[NDArray[np.int32]] = []
        for cascade in read_cascades(file):
            content = content_of(cascade.cascade_id)
            self._ids.append(_checked(f"{prefix}/{cascade.cascade_id}", file))
            self._contents.append(None if content is None else f"{prefix}/{content}")
            who = np.fromiter(
                (base + user_index.setdefault(user, len(user_index)) for user in cascade.users),
                np.int32,
                len(cascade),
            )
            published.append(cascade.published_at)
            delays.append(cascade.delays)
            parents.append(cascade.parents)
            users.append(who)
            parent_users.append(who[np.maximum(cascade.parents, 0)])
        if not published:
            raise SourceError(f"{file}: there is no cascade in it")
        self._users += [_checked(f"{prefix}/{user}", file) for user in user_index]
        starts = np.array(published)
        if window is not None:
            starts = rebase(starts, start, window)
        lengths = np.array([len(part) for part in delays])
        times = np.repeat(starts, lengths) + np.concatenate(delays)
        _check_times(times, file)
        numbers = np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])
        cascades = np.repeat(np.arange(first_id, len(self._ids), dtype=np.int32), lengths)
        return (times, cascades, numbers, *map(np.concatenate, (parents, users, parent_users)))

    def __iter__(self) -> Iterator[list[Message]]:
        """Encodes and yields the events, `BATCH` at a time."""
        encode = msgspec.json.Encoder().encode
        ids, contents, users, kind = self._ids, self._contents, self._users, self._kind
        keys = [identifier.encode() for identifier in ids]
        for begin in range(0, self.total or 0, BATCH):
            rows = zip(*(c[begin : begin + BATCH].tolist() for c in self._columns), strict=True)
            batch = []
            for time, cascade, number, parent, user, parent_user in rows:
                identifier = ids[cascade]
                known = parent >= 0
                event = SocialEvent(
                    identifier,
                    f"{identifier}:{number}",
                    users[user],
                    time,
                    kind if number else "post",
                    f"{identifier}:{parent}" if known else None,
                    users[parent_user] if known else None,
                    contents[cascade],
                )
                batch.append(Message(EVENTS, keys[cascade], encode(event), time))
            yield batch


class RequestReplay:
    """The requests of a file: topic `edge.requests`, keyed by edge.

    A client always asks the same edge, chosen by a hash of its identifier; requests of clients
    that are not known go to the edges in turn.

    Args:
        file: as `models.data.requests` reads it.
        edges: how many, named `edge-0`, `edge-1`, ...
        start: moves the trace so that its first request is at this time; None keeps its times.

    Raises:
        SourceError: an identifier, a timestamp or `edges` outside its bounds; no request.
        DataFormatError: the file is not in its format.
        OSError: the file cannot be read.
    """

    def __init__(self, file: Path | str, *, edges: int = 4, start: float | None = None) -> None:
        if edges < 1:
            raise SourceError(f"edges: got {edges}; expected 1 or more")
        trace = read_requests(file)
        if not len(trace):
            raise SourceError(f"{file}: there is no request in it")
        prefix = stem(file)
        self.name = prefix
        self.total: int | None = len(trace)
        self._times = trace.timestamps
        if start is not None:
            self._times = trace.timestamps - trace.timestamps[0] + start
        _check_times(self._times, file)
        self.begins: Mapping[str, float] = {REQUESTS: float(self._times[0])}
        self._objects = trace.objects
        self._object_ids = [
            _checked(f"{prefix}/{name}", file, LONGEST_OBJECT) for name in trace.object_ids
        ]
        sizes = [0] * len(self._object_ids) if trace.sizes is None else trace.sizes.tolist()
        self._sizes = [size or None for size in sizes]
        self._clients = trace.clients
        clients = [_checked(f"{prefix}/{name}", file) for name in trace.client_ids]
        self._client_ids = [
            client if name else None for name, client in zip(trace.client_ids, clients, strict=True)
        ]
        own = (hash_ids(clients) % np.uint64(edges)).astype(np.int64)[trace.clients]
        known = np.array(trace.client_ids) != ""
        self._edges = np.where(known[trace.clients], own, np.arange(len(trace)) % edges)
        self._edge_ids = [f"edge-{number}" for number in range(edges)]

    def __iter__(self) -> Iterator[list[Message]]:
        """Encodes and yields the requests, `BATCH` at a time."""
        encode = msgspec.json.Encoder().encode
        keys = [edge.encode() for edge in self._edge_ids]
        for begin in range(0, self.total or 0, BATCH):
            part = slice(begin, begin + BATCH)
            rows = zip(
                self._times[part].tolist(),
                self._edges[part].tolist(),
                self._objects[part].tolist(),
                self._clients[part].tolist(),
                strict=True,
            )
            batch = []
            for time, edge, item, client in rows:
                request = EdgeRequest(
                    self._edge_ids[edge],
                    self._object_ids[item],
                    time,
                    size=self._sizes[item],
                    client_id=self._client_ids[client],
                )
                batch.append(Message(REQUESTS, keys[edge], encode(request), time))
            yield batch


def _checked(identifier: str, file: Path | str, longest: int = LONGEST_ID) -> str:
    """The identifier, if it is short enough for a record."""
    if len(identifier) > longest:
        raise SourceError(
            f"{file}: the identifier {identifier[:40]!r}... has {len(identifier)} characters with "
            f"the file's name before it; at most {longest} are allowed"
        )
    return identifier


def _check_times(times: NDArray[np.float64], file: Path | str) -> None:
    """Refuses what a start has laid out of bounds: what a file holds lies within them."""
    if not (times.min() >= 0 and times.max() < YEAR_2100):
        raise SourceError(
            f"{file}: with this start events lie at {times.min():.0f} to {times.max():.0f} unix "
            "seconds; expected 1970 to 2099. Choose another start"
        )
