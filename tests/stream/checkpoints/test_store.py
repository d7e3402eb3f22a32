"""Where checkpoints lie: the same on a local disk, in memory and over the network."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from stream.checkpoints.content import CheckpointError, encode
from stream.checkpoints.store import Checkpoints, CheckpointUrlError, Found, is_full
from stream.http.listening import free_port
from tests.patience import until_so


@pytest.fixture(scope="module")
def ftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of files on loopback, as a process of its own."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "pyftpdlib", "--write"]
    command += ["--interface", "127.0.0.1", "--port", str(port), "--username", "ann"]
    command += ["--password", "secret", "--directory", str(tmp_path_factory.mktemp("ftp"))]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        until_so(lambda: server.poll() is not None or _answers(port), "the server of files")
        assert server.poll() is None, server.stderr
        yield f"ftp://ann:secret@127.0.0.1:{port}/state"
    finally:
        server.kill()
        server.communicate()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(params=["local", "file", "memory", "ftp"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoints:
    url = {
        "local": lambda: str(tmp_path / "here"),
        "file": lambda: f"file://{tmp_path}/there",
        "memory": lambda: f"memory://{tmp_path}",
        "ftp": lambda: request.getfixturevalue("ftp") + tmp_path.name,
    }[request.param]()
    return Checkpoints(url, "tidecast.tracker", "social.events")


def content(number: int) -> list[memoryview]:
    return encode({"a": np.full(1000, number)}, {"number": str(number)})


def test_the_last_two_of_a_partition_are_kept(store: Checkpoints) -> None:
    assert store.found(3) == []
    for offset in (5, 900, 10_000_000_000):
        assert store.write(3, offset, content(offset)) > 8_000
    store.write(4, 1, content(1))
    assert [found.offset for found in store.found(3)] == [10_000_000_000, 900]
    assert [found.offset for found in store.found(4)] == [1]
    read = store.read(store.found(3)[1])
    assert read.facts["number"] == "900"
    assert read.arrays["a"].tolist() == [900] * 1000


def test_one_that_is_put_aside_is_found_no_more(store: Checkpoints) -> None:
    for offset in (1, 2):
        store.write(0, offset, content(offset))
    newest, older = store.found(0)
    assert store.put_aside(newest).endswith(".rejected")
    assert store.found(0) == [older]
    store.write(0, 3, content(3))
    assert [found.offset for found in store.found(0)] == [3, 1]


def test_of_those_put_aside_two_are_kept(tmp_path: Path) -> None:
    store = Checkpoints(str(tmp_path), "group", "topic")
    for offset in range(5):
        store.write(0, offset, content(offset))
        store.put_aside(store.found(0)[0])
    store.write(0, 9, content(9))
    names = [path.name for path in sorted((tmp_path / "group" / "topic" / "0").iterdir())]
    assert [name[18] for name in names] == ["3", "4", "9"]
    assert [name.endswith(".rejected") for name in names] == [True, True, False]


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data[:-9] + b"x" + data[-8:],
    ],
)
def test_one_that_is_cut_off_or_altered_is_refused(
    store: Checkpoints, harm: Callable[[bytes], bytes]
) -> None:
    store.write(0, 7, content(7))
    (found,) = store.found(0)
    files = store._files
    files.pipe_file(found.path, harm(files.cat_file(found.path)))
    with pytest.raises(CheckpointError, match="digest") as caught:
        store.read(found)
    assert caught.value.reason == "unreadable"


def test_a_group_has_its_own(tmp_path: Path) -> None:
    Checkpoints(str(tmp_path), "one", "topic").write(0, 1, content(1))
    assert Checkpoints(str(tmp_path), "other", "topic").found(0) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing_behind_and_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    store = Checkpoints(str(tmp_path), "group", "topic")
    store.write(0, 1, content(1))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    # A disk that is really full needs one of its own, which a test has not.
    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[call], full)
    with pytest.raises(OSError, match="No space") as caught:
        store.write(0, 2, content(2))
    assert is_full(caught.value)
    assert len(list((tmp_path / "group" / "topic" / "0").iterdir())) == 1
    assert [found.offset for found in store.found(0)] == [1]


def test_a_file_of_another_name_is_none_of_ours(tmp_path: Path) -> None:
    store = Checkpoints(str(tmp_path), "group", "topic")
    store.write(0, 1, content(1))
    folder = tmp_path / "group" / "topic" / "0"
    (folder / "notes.txt").write_text("remember")
    store.write(0, 2, content(2))
    store.write(0, 3, content(3))
    assert [found.offset for found in store.found(0)] == [3, 2]
    assert (folder / "notes.txt").exists()


def test_a_url_without_a_driver_is_refused_at_once() -> None:
    with pytest.raises(CheckpointUrlError, match="checkpoint_url: got 'nowhere://x'"):
        Checkpoints("nowhere://x", "group", "topic")


def test_one_that_vanished_is_no_trouble_to_who_prunes(store: Checkpoints) -> None:
    for offset in (1, 2):
        store.write(0, offset, content(offset))
    gone = Found(0, "0" * 32, store.found(0)[0].path.replace("2-", "0-"))
    with pytest.raises(Exception, match=r"(?i)no such|not found|/0/"):
        store.read(gone)
    assert isinstance(store._files, fsspec.AbstractFileSystem)
    store.write(0, 3, content(3))
    assert [found.offset for found in store.found(0)] == [3, 2]
