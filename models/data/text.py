"""Text files as they are published: packed or plain, with or without a byte-order mark.

path ─► magic bytes ─► unpacked ─► byte-order mark ─► UTF-8 or UTF-16 ─► numbered lines

What a file is packed by is told by how it begins, for its name may say nothing, or something else.

    DataFormatError(TidecastError, ValueError)    a file that is not in its format; names the file
                                                  and the line
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from topics.errors import TidecastError
from topics.records import YEAR_2100

# How files begin that are unpacked here, and by what.
_UNPACKED: tuple[tuple[re.Pattern[bytes], Callable[[BinaryIO], Any]], ...] = (
    (re.compile(rb"\x1f\x8b"), gzip.open),
    (re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), bz2.open),
    (re.compile(rb"\xfd7zXZ\x00|\x5d\x00\x00"), lzma.open),  # .xz, and .lzma before it
)
READABLE = "plain text, gzip, bzip2 or xz"
# How files begin that hold something else: what it is, and the place of its mark. No text has
# these marks.
_FOREIGN = (
    (0, b"\x28\xb5\x2f\xfd", "compressed by Zstandard"),
    (0, b"\x04\x22\x4d\x18", "compressed by LZ4"),
    (0, b"\xff\x06\x00\x00sNaPpY", "compressed by Snappy"),
    (0, b"\x1f\x9d", "compressed by compress (.Z)"),
    (0, b"LZIP\x01", "compressed by lzip"),
    (0, b"\x89LZO", "compressed by lzop"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar\x00", "a tar archive"),
    (257, b"ustar  \x00", "a tar archive"),
    (0, b"PAR1\x15", "a Parquet file"),
    (0, b"Obj\x01", "an Avro file"),
    (0, b"SQLite format 3\x00", "an SQLite database"),
)
_HEAD = 512  # bytes; all marks lie within
# In this order: the mark of UTF-16 begins like that of UTF-32.
_ENCODINGS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_MARK = "\ufeff"
# What the libraries raise that unpack and decode. zlib.error: a gzip file whose header is sound
# and whose content is not. OSError as bz2 has it, without a number, is told from the system's.
_UNREADABLE = lzma.LZMAError, gzip.BadGzipFile, zlib.error, EOFError, UnicodeError
_LONGEST_SHOWN = 60


class DataFormatError(TidecastError, ValueError):
    """A data file that is not in its format."""


class Lines:
    """The lines of a file with their ends, and which of them is being read.

    Attributes:
        number: of the line that was given last, from 1.
    """

    def __init__(self, path: Path) -> None:
        self.number = 0
        self.source: Iterable[str] = ()  # what is read, once it is open
        self._path = path

    def __iter__(self) -> Iterator[str]:
        for line in self.source:
            self.number += 1
            if "\0" in line:
                raise self.error(
                    "got a NUL character; expected text. Is it UTF-16 without a byte-order mark, "
                    "or a binary file?"
                )
            if not line.isascii():
                line = self._sound(line)
            yield line

    def _sound(self, line: str) -> str:
        """The line without the mark that joining files has left in it."""
        try:
            line.encode()
        except UnicodeEncodeError as error:
            byte = ord(line[error.start]) - 0xDC00
            raise self.error(
                f"got the byte {byte:#04x}, which is not UTF-8; convert the file, for example by "
                "`iconv -f latin1 -t utf-8`"
            ) from error
        return line.removeprefix(_MARK)

    def error(self, message: str, line: int | None = None) -> DataFormatError:
        """What is wrong with a line, by default the one that was given last."""
        return DataFormatError(f"{self._path}, line {line or self.number}: {message}")

    def broken(self, message: str) -> DataFormatError:
        """What ended the reading somewhere after the line that was given last."""
        return DataFormatError(f"{self._path}, after line {self.number}: {message}")


@contextmanager
def opened(path: Path | str) -> Iterator[Lines]:
    """The lines of a text file, unpacked; it is read as a stream.

    Raises:
        DataFormatError: also while iterating: it is packed by something else, cut short, damaged,
            or no text.
        OSError: the file cannot be opened.
    """
    path = Path(path)
    with ExitStack() as closing:
        # A pipe as well as a file: nothing seeks.
        source: Any = closing.enter_context(path.open("rb"))
        lines = Lines(path)
        try:
            head = _known(source.peek(_HEAD)[:_HEAD], path)
            for mark, unpack in _UNPACKED:
                if mark.match(head):
                    source = closing.enter_context(unpack(source))
                    head = _known(source.peek(_HEAD)[:_HEAD], path)
                    break
            encoding = next((e for bom, e in _ENCODINGS.items() if head.startswith(bom)), "utf-8")
            # A byte that is not UTF-8 becomes half of a surrogate: so its line is known.
            errors = "surrogateescape" if encoding == "utf-8" else "strict"
            lines.source = io.TextIOWrapper(source, encoding, errors, newline="")
            yield lines
        except EOFError as error:
            raise lines.broken("cannot be read: it is cut short") from error
        except _UNREADABLE as error:
            raise lines.broken(f"cannot be read: {error}") from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise lines.broken(f"cannot be read: {error}") from error


def _known(head: bytes, path: Path) -> bytes:
    """How a file begins, unless that says that it is none of those that can be read."""
    for at, mark, what in _FOREIGN:
        if head.startswith(mark, at):
            raise DataFormatError(
                f"{path}: it is {what}; expected {READABLE}. Unpack or convert it first"
            )
    return head


def number(text: str) -> float:
    """A number in decimal or scientific notation.

    Raises:
        ValueError: it is none, or not finite. What Python alone takes for one, as `1_000`, is none.
    """
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"got {shown(text)}; expected a finite number")
    return value


def unix_seconds(text: str) -> float:
    """A moment in unix seconds.

    Raises:
        ValueError: it is none, or not from 1970 to 2099; says so where it looks like milliseconds.
    """
    value = number(text)
    if not 0 <= value < YEAR_2100:
        raise ValueError(f"got {shown(text)}; expected unix seconds, 1970 to 2099{_unit(value)}")
    return value


def _unit(value: float) -> str:
    """What a time may have been counted in that makes no sense as seconds."""
    for unit, factor in (("milli", 1_000), ("micro", 1_000_000), ("nano", 1_000_000_000)):
        if 1e8 <= value / factor < YEAR_2100:
            when = datetime.fromtimestamp(value / factor, UTC)
            return f". It looks like {unit}seconds ({when:%Y-%m-%d}): divide it by {factor:,}"
    return ""


def shown(text: str) -> str:
    """The text in quotes, of a long one its beginning."""
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…")
