"""The bytes of a checkpoint: columns of one partition's state, and whose they are.

A safetensors file, which cannot carry code. It is written here piece by piece from the arrays as
they lie in memory, for the library joins them first, and holds the interpreter up meanwhile; it is
read by the library.

    CheckpointError(TidecastError)    a checkpoint cannot be used; `reason` says why, in one word
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from topics.errors import TidecastError

FORMAT = "1"  # of the facts and of how a file is named; raised when a reader would be misled
Arrays = Mapping[str, NDArray[Any]]

_TYPES = {
    "bool": "BOOL", "int8": "I8", "uint8": "U8", "int16": "I16", "int32": "I32", "uint32": "U32",
    "int64": "I64", "uint64": "U64", "float32": "F32", "float64": "F64",
}  # fmt: skip


class CheckpointError(TidecastError):
    """A checkpoint cannot be used.

    Attributes:
        reason: `unreadable`, `version`, `foreign` or `ahead`, as the metric counts it.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Content(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        facts: whose it is, and at which offset.
        arrays: the state.
    """

    facts: dict[str, str]
    arrays: dict[str, NDArray[Any]]


def encode(arrays: Arrays, facts: Mapping[str, str]) -> list[memoryview]:
    """The file in pieces, which share the memory of the arrays.

    Args:
        arrays: contiguous, of plain numbers; a structured one goes in as bytes (`as_bytes`).
        facts: what `decode` gives back beside them.
    """
    header: dict[str, object] = {"__metadata__": {"format": FORMAT, **facts}}
    start = 0
    for name, array in arrays.items():
        end = start + array.nbytes
        header[name] = {
            "dtype": _TYPES[array.dtype.name], "shape": array.shape, "data_offsets": [start, end]
        }  # fmt: skip
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pieces = [memoryview(len(text).to_bytes(8, "little") + text)]
    return pieces + [as_bytes(array).data for array in arrays.values()]


def decode(data: bytes) -> Content:
    """What was encoded.

    Raises:
        CheckpointError: it is no checkpoint, or one of another format.
    """
    try:
        length = int.from_bytes(data[:8], "little")
        facts = dict(json.loads(data[8 : 8 + length])["__metadata__"])
        if facts.get("format") != FORMAT:
            raise CheckpointError(
                "version",
                f"format: got {facts.get('format')!r}; this version reads {FORMAT!r}",
            )
        return Content(facts, load(data))
    except (ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise CheckpointError("unreadable", f"no checkpoint: {error}") from error


def digest(pieces: Iterable[bytes | memoryview]) -> str:
    """Of a file's content, 32 hexadecimal digits."""
    found = hashlib.blake2b(digest_size=16)
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


def as_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The memory of a contiguous array, of whatever type."""
    return array.reshape(-1).view(np.uint8)


def from_bytes(data: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    """A structured array of its own from what `as_bytes` gave."""
    rows = np.empty(len(data) // dtype.itemsize, dtype)
    rows.view(np.uint8)[:] = data
    return rows


def packed(strings: bytes) -> NDArray[np.uint8]:
    """Bytes that something else has encoded, as an array."""
    return np.frombuffer(strings, np.uint8)


def check_facts(facts: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """
    Raises:
        CheckpointError: they are of something else.
    """
    differ: Sequence[str] = [
        f"{name}: got {facts.get(name)!r}; this role has {value!r}"
        for name, value in expected.items()
        if facts.get(name) != value
    ]
    if differ:
        raise CheckpointError("foreign", "; ".join(differ))
