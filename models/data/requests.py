"""Reads files of recorded requests: CSV in order of time.

The columns are `timestamp` and `object_id`, and if there are any `client_id` and `size`, the bytes
of the object. The header names them in any order and case. A client or a size that is empty or `-`
is not known, nor is a size of 0, as logs have it for a 304 or a HEAD. Blank lines are passed over.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.data.datasets import RequestTrace
from models.data.text import Lines, number, opened, shown, unix_seconds

_NEEDED = ("timestamp", "object_id")
_COLUMNS = (*_NEEDED, "client_id", "size")
_NOT_KNOWN = ("", "-")
_LARGEST = 1 << 50  # bytes of an object: the bound of records


def read_requests(path: Path | str) -> RequestTrace:
    """The requests of a file.

    Raises:
        DataFormatError: at the first line that is not in the format, or goes back in time.
        OSError: the file cannot be opened.
    """
    timestamps: list[float] = []
    objects: list[int] = []
    clients: list[int] = []
    sizes: list[int] = []
    object_index: dict[str, int] = {}
    client_index: dict[str, int] = {}
    latest = 0.0
    with opened(path) as lines:
        rows = _rows(lines)
        columns = _columns(next(rows, []), lines)
        timed, named = (columns[name] for name in _NEEDED)
        asked, sized = columns.get("client_id"), columns.get("size")
        for row in rows:
            if len(row) != len(columns):
                raise lines.error(f"got {len(row)} fields; expected {len(columns)}")
            column = "timestamp"
            try:
                timestamp = unix_seconds(row[timed])
                column = "size"
                size = 0 if sized is None else _size(row[sized])
            except ValueError as error:
                raise lines.error(f"{column}: {error}") from error
            if timestamp < latest:
                raise lines.error(
                    f"timestamp {row[timed]} after {latest}; requests must be in order of time "
                    "(docs/data.md sorts them)"
                )
            if not row[named]:
                raise lines.error("got no object_id; expected an identifier")
            latest = timestamp
            timestamps.append(timestamp)
            item = object_index.setdefault(row[named], len(object_index))
            objects.append(item)
            if item == len(sizes):
                sizes.append(size)
            elif not sizes[item]:
                sizes[item] = size
            client = "" if asked is None or row[asked] in _NOT_KNOWN else row[asked]
            clients.append(client_index.setdefault(client, len(client_index)))
    return RequestTrace(
        timestamps=np.array(timestamps, np.float64),
        objects=np.array(objects, np.int32),
        object_ids=list(object_index),
        clients=np.array(clients, np.int32),
        client_ids=list(client_index),
        sizes=np.array(sizes, np.int64) if any(sizes) else None,
    )


def _rows(lines: Lines) -> Iterator[list[str]]:
    """The rows that are not blank, their fields without the spaces around them."""
    rows = csv.reader(lines, skipinitialspace=True, strict=True)
    while True:
        begins = lines.number + 1
        try:
            row = [field.strip(" \t") for field in next(rows)]
        except StopIteration:
            return
        except csv.Error as error:
            raise lines.error(f"is not CSV ({error}); is a quote not closed?", begins) from error
        if len(row) > 1 or any(row):
            yield row


def _columns(header: list[str], lines: Lines) -> dict[str, int]:
    """Where each column stands."""
    columns = {name.lower(): place for place, name in enumerate(header)}
    if (
        len(columns) < len(header)
        or not columns.keys() <= set(_COLUMNS)
        or not columns.keys() >= set(_NEEDED)
    ):
        raise lines.error(
            f"got the header {shown(','.join(header))}; expected timestamp,object_id and, if the "
            "file has them, client_id and size, in any order (docs/data.md converts other formats)",
            max(lines.number, 1),
        )
    return columns


def _size(text: str) -> int:
    """Bytes of an object, 0 where they are not known."""
    if text in _NOT_KNOWN:
        return 0
    size = number(text)
    if not (0 <= size < _LARGEST and size.is_integer()):
        raise ValueError(
            f"got {shown(text)}; expected the object's bytes, a whole number, or 0, - or nothing "
            "where they are not known"
        )
    return int(size)
