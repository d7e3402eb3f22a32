"""Readers of cascade and request files, and what training and tests make of them.

Cascades: one a line, tab-separated, the format that DeepHawkes, CasFlow, ConCat and CasFT read:

    cascade_id  root_user  publish_time  n_events  path:delay path:delay ...

where `path` is `root/.../parent/user`, `delay` is seconds since publication, and the first event
is the root, `root_user:0`. `n_events` counts the events, with or without the root. Requests: CSV
in order of time with the header `timestamp,object_id,client_id,size` (the last two columns are
optional; `size` is the object's bytes). Both may be plain, `.xz` or `.gz`, in UTF-8.

    DataFormatError(TidecastError, ValueError)    a file that is not in its format; names the file
                                                  and the line
"""

from __future__ import annotations

import csv
import gzip
import lzma
import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topics.errors import TidecastError
from topics.hashing import hash_users
from topics.records import BIN_EDGES, CascadeSnapshot

ROOT = -1
UNKNOWN_PARENT = -2
# What the libraries raise that unpack, decode and split a file. zlib.error: a gzip file whose
# header is sound and whose content is not. csv.Error: a field of more than 128 KiB.
_UNREADABLE = (
    lzma.LZMAError, gzip.BadGzipFile, zlib.error, EOFError, UnicodeDecodeError, csv.Error,
)  # fmt: skip


class DataFormatError(TidecastError, ValueError):
    """A data file that is not in its format."""


@dataclass(frozen=True, eq=False)
class Cascade:
    """All events of one cascade in order of time; the root is event 0.

    Attributes:
        published_at: unix seconds of the root.
        users: of each event, shape (events,).
        parents: index of the first event of the parent's user, int32, shape (events,); `ROOT` for
            the root, `UNKNOWN_PARENT` where the parent has no earlier event.
        delays: seconds since publication, float64, shape (events,), ascending; 0 for the root.
    """

    cascade_id: str
    root_user: str
    published_at: float
    users: list[str]
    parents: NDArray[np.int32]
    delays: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def depths(self) -> NDArray[np.int32]:
        """Hops from the root, shape (events,); 1 where the parent is not known."""
        depths: NDArray[np.int32] = _depths(self.parents)
        return depths

    @cached_property
    def user_hashes(self) -> NDArray[np.int32]:
        """Hash of each event's user as snapshots carry it, shape (events,)."""
        return hash_users(self.users)


@njit(cache=True)
def _depths(parents: NDArray[np.int32]) -> NDArray[np.int32]:
    depths = np.empty(parents.size, np.int32)
    for event in range(parents.size):
        parent = parents[event]
        if parent >= 0:
            depths[event] = depths[parent] + 1
        else:
            depths[event] = 0 if parent == ROOT else 1
    return depths


@dataclass(frozen=True, eq=False)
class RequestTrace:
    """Requests in order of time.

    Attributes:
        timestamps: unix seconds (or the request's number), float64, shape (requests,), ascending.
        objects: index into `object_ids`, int32, shape (requests,).
        object_ids: distinct objects in order of first request.
        clients: index into `client_ids`, int32, shape (requests,).
        client_ids: distinct clients in order of first request; `[""]` where the file has none.
        sizes: bytes of each object as first stated, int64, shape (len(object_ids),); None where
            the file has none.
    """

    timestamps: NDArray[np.float64]
    objects: NDArray[np.int32]
    object_ids: list[str]
    clients: NDArray[np.int32]
    client_ids: list[str]
    sizes: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.timestamps)


class _Position:
    """The line of a file that is being read, for error messages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 0

    def error(self, message: str) -> DataFormatError:
        return DataFormatError(f"{self.path}, line {self.line}: {message}")


@contextmanager
def _open(path: Path | str) -> Iterator[tuple[IO[str], _Position]]:
    """A text file by its suffix; what breaks while it is read becomes a `DataFormatError`."""
    path = Path(path)
    position = _Position(path)
    opener: Any = {".xz": lzma.open, ".gz": gzip.open}.get(path.suffix, open)
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as file:
            yield file, position
    except _UNREADABLE as error:
        position.line += 1
        raise position.error(f"cannot be read: {error}") from error


def read_cascades(path: Path | str) -> Iterator[Cascade]:
    """The cascades of a file, one by one, in the file's order.

    Events are put in order of delay, stably. A file is read as a stream: memory is that of its
    longest line.

    Raises:
        DataFormatError: while iterating, at the first line that is not in the format.
        OSError: the file cannot be opened.
    """
    with _open(path) as (file, position):
        for line in file:
            position.line += 1
            if line.strip():
                yield _cascade(line.rstrip("\r\n"), position)


def _cascade(line: str, position: _Position) -> Cascade:
    fields = line.split("\t")
    if len(fields) != 5:
        raise position.error(
            f"got {len(fields)} tab-separated fields; expected 5: "
            "cascade_id, root_user, publish_time, n_events, events"
        )
    cascade_id, root_user, published_at, stated, events = fields
    heads: list[str] = []
    texts: list[str] = []
    for event in events.split():
        head, _, delay = event.rpartition(":")
        heads.append(head)
        texts.append(delay)
    try:
        published = float(published_at)
        count = int(stated)
        delays = np.array(list(map(float, texts)), np.float64)
    except ValueError as error:
        raise position.error(
            f"{error}; expected publish_time, n_events and the delay after each event's last "
            "colon to be numbers"
        ) from error
    if count not in (len(heads), len(heads) - 1):
        raise position.error(
            f"got {len(heads)} events where n_events says {count}; is the line cut short?"
        )
    if not (math.isfinite(published) and np.isfinite(delays).all() and (delays >= 0).all()):
        raise position.error("publish_time and delays must be finite, and delays not negative")
    if not heads or heads[0] != root_user or delays[0] != 0:
        raise position.error(
            f"the first event must be the root, {root_user}:0; got {events.split(' ', 1)[0]!r}"
        )
    if (np.diff(delays) < 0).any():
        order = np.argsort(delays, kind="stable")
        delays = delays[order]
        heads = [heads[index] for index in order]

    users: list[str] = []
    parents = np.empty(len(heads), np.int32)
    first: dict[str, int] = {}
    for index, head in enumerate(heads):
        ancestors, _, user = head.rpartition("/")
        parents[index] = first.get(ancestors[ancestors.rfind("/") + 1 :], UNKNOWN_PARENT)
        first.setdefault(user, index)
        users.append(user)
    parents[0] = ROOT
    return Cascade(cascade_id, root_user, published, users, parents, delays)


def read_requests(path: Path | str) -> RequestTrace:
    """The requests of a file.

    Raises:
        DataFormatError: at the first line that is not in the format, or goes back in time.
        OSError: the file cannot be opened.
    """
    timestamps: list[float] = []
    objects: list[int] = []
    clients: list[int] = []
    object_index: dict[str, int] = {}
    client_index: dict[str, int] = {}
    sizes: list[int] = []
    latest = -math.inf
    with _open(path) as (file, position):
        rows = csv.reader(file)
        header = next(rows, [])
        position.line = 1
        sized = header[-1:] == ["size"]
        columns = header[:-1] if sized else header
        if columns not in (["timestamp", "object_id"], ["timestamp", "object_id", "client_id"]):
            raise position.error(
                f"got the header {','.join(header)!r}; "
                "expected timestamp,object_id[,client_id][,size]"
            )
        for row in rows:
            position.line = rows.line_num
            if len(row) != len(header):
                raise position.error(f"got {len(row)} fields; expected {len(header)}")
            try:
                timestamp = float(row[0])
            except ValueError as error:
                raise position.error(f"timestamp: {error}") from error
            if not (math.isfinite(timestamp) and latest <= timestamp):
                raise position.error(
                    f"timestamp {row[0]} after {latest}; requests must be in order of time"
                )
            latest = timestamp
            timestamps.append(timestamp)
            objects.append(object_index.setdefault(row[1], len(object_index)))
            if sized:
                size = _size(row[-1], position)
                if len(object_index) > len(sizes):
                    sizes.append(size)
            client = row[2] if len(columns) == 3 else ""
            clients.append(client_index.setdefault(client, len(client_index)))
    return RequestTrace(
        timestamps=np.array(timestamps, np.float64),
        objects=np.array(objects, np.int32),
        object_ids=list(object_index),
        clients=np.array(clients, np.int32),
        client_ids=list(client_index),
        sizes=np.array(sizes, np.int64) if sized else None,
    )


def _size(text: str, position: _Position) -> int:
    size = int(text) if text.isascii() and text.isdigit() else 0
    if not 0 < size < 1 << 50:
        raise position.error(f"size: got {text!r}; expected the object's bytes, a number from 1")
    return size


# ------------------------------------------------------------------ observations and labels


def count_at(cascade: Cascade, age: float) -> int:
    """Events with a delay of at most `age` seconds, the root included."""
    return int(np.searchsorted(cascade.delays, age, side="right"))


def increment(cascade: Cascade, observed: float, horizon: float) -> int:
    """The label: events with `observed` < delay <= `horizon` (seconds since publication)."""
    return max(0, count_at(cascade, horizon) - count_at(cascade, observed))


def snapshot_at(cascade: Cascade, age: float, max_events: int = 512) -> CascadeSnapshot:
    """What a tracker publishes of `cascade` at `age` seconds since publication.

    The first `max_events` events are kept exactly and later ones counted by `BIN_EDGES`, a count
    at bin i for delays in (edge i - 1, edge i].
    """
    count = count_at(cascade, age)
    kept = min(count, max_events)
    rest = b""
    if count > kept:
        bins = np.searchsorted(BIN_EDGES, cascade.delays[kept:count], side="left")
        rest = np.bincount(bins, minlength=len(BIN_EDGES) + 1).astype("<i4").tobytes()
    trigger = f"a{int(age)}"
    return CascadeSnapshot(
        snapshot_id=f"{cascade.cascade_id}:{trigger}",
        cascade_id=cascade.cascade_id,
        trigger=trigger,
        published_at=cascade.published_at,
        age=float(age),
        observed_count=count,
        rooted=True,
        delay=cascade.delays[:kept].astype("<f4").tobytes(),
        parent=cascade.parents[:kept].astype("<i4").tobytes(),
        depth=cascade.depths[:kept].astype("<i4").tobytes(),
        user=cascade.user_hashes[:kept].astype("<i4").tobytes(),
        rest=rest,
    )


# ------------------------------------------------------------------ splits


class Split(NamedTuple):
    """Parts of a set of cascades, each in order of publication."""

    train: list[Cascade]
    validation: list[Cascade]
    test: list[Cascade]


def split_chronologically(
    cascades: Sequence[Cascade], train: float = 0.7, validation: float = 0.15
) -> Split:
    """Earliest part for training, then validation, the latest for the test: no future leaks.

    Ties in publish time keep the order given.
    """
    ordered = sorted(cascades, key=lambda cascade: cascade.published_at)
    first = int(len(ordered) * train)
    second = int(len(ordered) * (train + validation))
    return Split(ordered[:first], ordered[first:second], ordered[second:])


def split_randomly(
    cascades: Sequence[Cascade], seed: int = 0, train: float = 0.7, validation: float = 0.15
) -> Split:
    """Parts drawn at random, as much of the literature has them; each in order of publication.

    The training part has cascades of the test part's time, so what is measured flatters: for
    comparison with published figures only.
    """
    ordered = sorted(cascades, key=lambda cascade: cascade.published_at)
    first = int(len(ordered) * train)
    second = int(len(ordered) * (train + validation))
    drawn = np.random.default_rng(seed).permutation(len(ordered))
    parts = np.split(drawn, [first, second])
    return Split(*([ordered[index] for index in sorted(part)] for part in parts))
