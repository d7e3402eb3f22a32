"""Where the checkpoints of a consumer group lie, at any URL that fsspec knows.

    URL/GROUP/TOPIC/PARTITION/OFFSET-DIGEST.safetensors

The digest in the name is of the content, so a file that was cut off or altered betrays itself.
On a local disk a checkpoint appears whole or not at all, a power cut included; so it does on an
object store. Elsewhere one may be cut off, which the next reader notices.

The last two of a partition are kept. One that cannot be used is renamed to `....rejected`, for a
person to look at, and of those the last two are kept as well.
"""

from __future__ import annotations

import errno
import os
import re
import threading
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

from stream.checkpoints.content import CheckpointError, Content, decode, digest
from topics.errors import TidecastError

_KEPT = 2
_REJECTED = ".rejected"
_NAME = re.compile(r"(\d{19})-([0-9a-f]{32})\.safetensors")


class CheckpointUrlError(TidecastError, ValueError):
    """The setting `checkpoint_url` names nothing where files can be kept."""


class Found(NamedTuple):
    """A checkpoint that is there.

    Attributes:
        offset: the first that is not in it.
        digest: what its content has to have.
        path: of the file, without the protocol.
    """

    offset: int
    digest: str
    path: str


class Checkpoints:
    """The checkpoints of one group's partitions of one topic. Safe to share between threads.

    Args:
        url: a folder, such as /var/lib/tidecast, s3://bucket/tidecast or memory://x. What opens
            an object store beyond that stands in its driver's own environment.
        group: the consumer group.
        topic: its name.

    Raises:
        CheckpointUrlError: the protocol is unknown, or its driver is not installed.
    """

    def __init__(self, url: str, group: str, topic: str) -> None:
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise CheckpointUrlError(
                f"checkpoint_url: got {url!r}: {error}; expected a folder, or the URL of one"
            ) from error
        self._root = f"{root.rstrip('/')}/{group}/{topic}"
        self._is_local = isinstance(self._files, LocalFileSystem)
        # Drivers that are not asynchronous may share one connection between threads.
        self._one_at_a_time: AbstractContextManager[object] = (
            nullcontext() if self._files.async_impl or self._is_local else threading.Lock()
        )

    def folder(self, partition: int) -> str:
        """Where those of a partition lie, without the protocol."""
        return f"{self._root}/{partition}"

    def found(self, partition: int) -> list[Found]:
        """Those of a partition, the newest first.

        Raises:
            Exception: whatever the driver raises when the store does not answer.
        """
        with self._one_at_a_time:
            return self._found(partition)

    def read(self, found: Found) -> Content:
        """What is in one of them.

        Raises:
            CheckpointError: nothing that can be used.
            Exception: whatever the driver raises when the store does not answer.
        """
        with self._one_at_a_time:
            data: bytes = self._files.cat_file(found.path)
        if digest([data]) != found.digest:
            raise CheckpointError(
                "unreadable", f"the content of {len(data)} bytes has not the digest of the name"
            )
        return decode(data)

    def write(self, partition: int, offset: int, pieces: Sequence[memoryview]) -> int:
        """Writes one, then removes those that it makes needless.

        Returns:
            its bytes.

        Raises:
            Exception: whatever the driver raises when it cannot; of a local disk OSError.
        """
        folder = self.folder(partition)
        path = f"{folder}/{offset:019d}-{digest(pieces)}.safetensors"
        with self._one_at_a_time:
            self._files.makedirs(folder, exist_ok=True)
            if self._is_local:
                _write_at_once(Path(path), pieces)
            else:
                with self._files.open(path, "wb") as file:
                    for piece in pieces:
                        file.write(piece)
            self._prune(partition)
        return sum(map(len, pieces))

    def put_aside(self, found: Found) -> str:
        """Renames one that cannot be used; where it is now."""
        aside = found.path + _REJECTED
        with self._one_at_a_time:
            self._files.mv(found.path, aside)
        return aside

    def _found(self, partition: int) -> list[Found]:
        return sorted(
            (
                Found(int(match[1]), match[2], path)
                for path in self._listed(partition)
                if (match := _NAME.fullmatch(path.rpartition("/")[2]))
            ),
            reverse=True,
        )

    def _listed(self, partition: int) -> list[str]:
        folder = self.folder(partition)
        self._files.invalidate_cache(folder)
        try:
            listed = self._files.ls(folder, detail=False)
        except FileNotFoundError:
            return []
        # Some drivers list whole paths, some names alone.
        return [f"{folder}/{path.rpartition('/')[2]}" for path in listed]

    def _prune(self, partition: int) -> None:
        rejected = sorted(path for path in self._listed(partition) if path.endswith(_REJECTED))
        needless = [found.path for found in self._found(partition)[_KEPT:]] + rejected[:-_KEPT]
        for path in needless:
            try:
                self._files.rm_file(path)
            except FileNotFoundError:
                continue  # another worker, which had the partition before, was quicker


def is_full(error: BaseException) -> bool:
    """Whether a write failed for want of room."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _write_at_once(path: Path, pieces: Sequence[memoryview]) -> None:
    """Writes a file of a local disk so that after a power cut it is there whole or not at all."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with beside.open("wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
