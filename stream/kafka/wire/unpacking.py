"""What producers compress record batches with, unpacked within a bound.

The codecs are those of Kafka's record format (KIP-98): gzip, snappy, lz4 and zstd. A few kilobytes
can unpack to gigabytes, by accident or not, so nothing is unpacked further than `LARGEST`.

    CodecError(TidecastError)    this installation lacks a codec, or nobody knows it
    UnpackError(ValueError)      the bytes are none of that codec, or too many
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from topics.errors import TidecastError

try:
    import cramjam
except ImportError:  # an installation without its dependencies; see check_codecs
    cramjam = None  # type: ignore[assignment]

# Bytes. Producers fill a batch to a megabyte at most, unless told otherwise, before they compress.
LARGEST = 64 << 20
CODECS = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
_UNKNOWN_SO_FAR = "gzip, snappy, lz4 and zstd are known"
# Before the blocks of snappy as Java's producers write it: magic, version, lowest that can read it.
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_BYTES = 16


class CodecError(TidecastError):
    """This installation lacks a codec, or nobody knows it."""


class UnpackError(ValueError):
    """The bytes are none of that codec, or too many."""


def check_codecs() -> None:
    """
    Raises:
        CodecError: batches that producers may well send could not be read here.
    """
    if cramjam is None:
        raise CodecError(
            "snappy, lz4 and zstd cannot be read here, which most producers compress with: the "
            "package cramjam is missing; install it with `pip install 'aiokafka[lz4,snappy,zstd]'`"
        )


def unpacked(codec: int, packed: memoryview, largest: int = LARGEST) -> bytes:
    """What was compressed.

    Args:
        codec: its number, as in the attributes of a batch.
        largest: bytes that it may have.

    Raises:
        CodecError: there is no codec of that number.
        UnpackError: it cannot be unpacked, or not within the bound.
    """
    unpack = _UNPACK.get(codec)
    if unpack is None:
        raise CodecError(f"compressed by codec {codec}, which nobody knows; {_UNKNOWN_SO_FAR}")
    try:
        return unpack(packed, largest)
    except (zlib.error, struct.error, cramjam.DecompressionError, ValueError) as error:
        raise UnpackError(
            f"{CODECS[codec]} does not unpack, within {largest:,} bytes: {error}"
        ) from error


def _gunzipped(packed: memoryview, largest: int) -> bytes:
    pieces = []
    rest: bytes | memoryview = packed
    while rest:  # files of gzip may follow one another
        inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        pieces.append(inflate.decompress(rest, largest + 1))
        largest -= len(pieces[-1])
        if largest < 0:
            raise ValueError("there is more")
        if not inflate.eof:
            raise ValueError("it is cut off")
        rest = inflate.unused_data
    return b"".join(pieces)


def _unsnapped(packed: memoryview, largest: int) -> bytes:
    if packed[: len(_XERIAL)] != _XERIAL:
        return _unsnapped_block(packed, largest)
    pieces = []
    at = _XERIAL_BYTES
    while at < len(packed):
        (size,) = struct.unpack_from(">i", packed, at)
        at += 4
        if not 0 < size <= len(packed) - at:
            raise ValueError(f"a block of {size} bytes where {len(packed) - at} are left")
        pieces.append(_unsnapped_block(packed[at : at + size], largest))
        largest -= len(pieces[-1])
        at += size
    return b"".join(pieces)


def _unsnapped_block(block: memoryview, largest: int) -> bytes:
    size = cramjam.snappy.decompress_raw_len(block)
    if size > largest:
        raise ValueError(f"it says that it has {size:,} bytes")
    return bytes(cramjam.snappy.decompress_raw(block))


def _unpacked_lz4(packed: memoryview, largest: int) -> bytes:
    return _into_room(cramjam.lz4.decompress_into, packed, largest)


def _unpacked_zstd(packed: memoryview, largest: int) -> bytes:
    return _into_room(cramjam.zstd.decompress_into, packed, largest)


def _into_room(
    decompress_into: Callable[[Any, Any], int], packed: memoryview, largest: int
) -> bytes:
    room = np.empty(largest, np.uint8)  # only what is written to takes memory
    return room[: decompress_into(packed, room)].tobytes()


_UNPACK: dict[int, Callable[[memoryview, int], bytes]] = {
    1: _gunzipped,
    2: _unsnapped,
    3: _unpacked_lz4,
    4: _unpacked_zstd,
}
