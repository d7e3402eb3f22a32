"""Text files as they are published: packed or plain, marked or not, cut short, or no text."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import random
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from models.data.text import DataFormatError, number, opened, unix_seconds

TEXT = "one\nzwei, größer\n三\n"


def read(path: Path) -> list[str]:
    with opened(path) as lines:
        return list(lines)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "pack",
    [bytes, gzip.compress, bz2.compress, lzma.compress,
     lambda data: lzma.compress(data, lzma.FORMAT_ALONE)],
)  # fmt: skip
@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.GZ", "a.txt.bz2", "a.txt.xz", "a"])
def test_what_packs_a_file_is_told_by_its_content(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    path = written(tmp_path / name, pack(TEXT.encode()))
    assert read(path) == TEXT.splitlines(keepends=True)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_archives_that_were_joined_are_read_to_the_end(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = written(tmp_path / "a", pack(b"one\n") + pack(b"two\n"))
    assert read(path) == ["one\n", "two\n"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_byte_order_mark_says_how_text_is_encoded_and_is_not_part_of_it(
    tmp_path: Path, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    path = written(tmp_path / "a.txt", pack(TEXT.encode(encoding)))
    assert read(path) == TEXT.splitlines(keepends=True)


def test_big_ended_text_is_read_by_its_mark(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"))
    assert read(path) == TEXT.splitlines(keepends=True)


def test_the_mark_of_a_file_that_was_joined_to_another_is_not_part_of_a_line(
    tmp_path: Path,
) -> None:
    part = codecs.BOM_UTF8 + b"x\n"
    assert read(written(tmp_path / "a.txt", part + part)) == ["x\n", "x\n"]


def test_lines_end_where_lines_end_and_at_no_other_separator(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "a\r\nb\u2028c\vd\x85\ne".encode())
    assert read(path) == ["a\r\n", "b\u2028c\vd\x85\n", "e"]


def zipped() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("a.txt", TEXT)
    return sink.getvalue()


def tarred(mode: str = "w") -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode=mode) as archive:  # type: ignore[call-overload]
        entry = tarfile.TarInfo("a.txt")
        archive.addfile(entry, io.BytesIO())
    return sink.getvalue()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\x28\xb5\x2f\xfd\x04\x00", "compressed by Zstandard"),
        (b"\x04\x22\x4d\x18\x64\x40", "compressed by LZ4"),
        (b"\xff\x06\x00\x00sNaPpY", "compressed by Snappy"),
        (b"\x1f\x9d\x90", r"compressed by compress \(\.Z\)"),
        (zipped(), "a ZIP archive"),
        (tarred(), "a tar archive"),
        (tarred("w:gz"), "a tar archive"),
        (b"PAR1\x15\x04", "a Parquet file"),
    ],
)
def test_what_cannot_be_unpacked_is_named_with_what_can(
    tmp_path: Path, content: bytes, what: str
) -> None:
    expected = rf"a\.txt: it is {what}; expected plain text, gzip, bzip2 or xz"
    with pytest.raises(DataFormatError, match=expected):
        read(written(tmp_path / "a.txt", content))


@pytest.mark.parametrize("text", ["BZhang\n", "PAR1\n", "LZIP\n", "]\n"])
def test_text_that_begins_like_a_mark_is_text(tmp_path: Path, text: str) -> None:
    assert read(written(tmp_path / "a.txt", text.encode())) == [text]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_what_is_cut_short_or_damaged_is_named(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    whole = pack(random.Random(0).randbytes(3_000).hex().encode() + b"\n")
    for content in (whole[:-20], whole[:200] + bytes(100) + whole[300:]):
        with pytest.raises(DataFormatError, match=r"a, after line [01]: cannot be read: "):
            read(written(tmp_path / "a", content))


def test_the_line_with_a_byte_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", b"fine\n" * 40 + "caf\xe9\n".encode("latin1"))
    with pytest.raises(DataFormatError, match=r"a\.txt, line 41: got the byte 0xe9.*iconv"):
        read(path)


def test_text_that_is_none_is_named(tmp_path: Path) -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        with pytest.raises(DataFormatError, match="line 1: got a NUL character"):
            read(written(tmp_path / "a.txt", "id\n".encode(encoding)))
    with pytest.raises(DataFormatError, match="line 2: got a NUL character"):
        read(written(tmp_path / "a.txt", b"id\n\0\n"))
    half = codecs.BOM_UTF16_LE + b"i"
    with pytest.raises(DataFormatError, match="after line 0: cannot be read"):
        read(written(tmp_path / "a.txt", half))


def test_an_empty_file_has_no_line(tmp_path: Path) -> None:
    assert read(written(tmp_path / "a.txt", b"")) == []
    assert read(written(tmp_path / "a.txt.gz", gzip.compress(b""))) == []


def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(TEXT.encode()),))
    writer.start()
    assert read(pipe) == TEXT.splitlines(keepends=True)
    writer.join()


def test_numbers_are_those_that_files_have() -> None:
    assert [number(text) for text in ("12", " -1.5 ", "1e3")] == [12, -1.5, 1000]
    for text in ("1_000", "١٢", "nan", "inf", "1e999", "", "x"):
        with pytest.raises(ValueError, match="expected a finite number"):
            number(text)


@pytest.mark.parametrize(
    ("text", "unit", "divisor"),
    [
        ("1464745294123", "milliseconds", "1,000"),
        ("1464745294123456", "microseconds", "1,000,000"),
        ("1464745294123456789", "nanoseconds", "1,000,000,000"),
    ],
)
def test_a_time_in_another_unit_is_told_by_the_day_that_it_would_be(
    text: str, unit: str, divisor: str
) -> None:
    expected = rf"unix seconds, 1970 to 2099\. It looks like {unit} \(2016-06-01\): .* {divisor}$"
    with pytest.raises(ValueError, match=expected):
        unix_seconds(text)


def test_a_time_out_of_bounds_is_refused() -> None:
    assert unix_seconds("0") == 0 and unix_seconds("1.4e9") == 1.4e9
    for text in ("-1", "4102444800", "9223372036854775808", "1" * 400):
        with pytest.raises(ValueError, match=r"unix seconds|finite"):
            unix_seconds(text)
