"""Where kernels are kept when nobody can write to the usual places."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.kernels import kernel_cache
from models.kernels.kernel_cache import KernelCacheError

ROOT = Path(kernel_cache.__file__).parents[2]
# The same kernel answers in a process of its own, and says where numba keeps it.
PROGRAM = """
import os
from stream.tracker.timers import _before
from numba.core import config
print(os.environ.get("NUMBA_CACHE_DIR"), config.CACHE_DIR, _before._cache.cache_path)
"""


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No usual place can be written to: below a file there are no folders, for root neither."""
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr(kernel_cache, "_ROOMS", file)
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    monkeypatch.setenv("HOME", str(file))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(file / "given"))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    return temporary


def test_every_kernel_lies_where_is_looked() -> None:
    with_kernels = {
        path.parent.relative_to(ROOT).as_posix()
        for room in ("topics", "models", "stream")
        for path in (ROOT / room).rglob("*.py")
        if re.search(r"^@(numba\.)?njit", path.read_text(), re.MULTILINE)
    }
    assert with_kernels == set(kernel_cache.WITH_KERNELS)


def test_what_can_be_written_to_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    kernel_cache.settle()
    assert "NUMBA_CACHE_DIR" not in os.environ


@pytest.mark.parametrize("place", ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME"])
def test_one_place_is_enough(
    nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv(place, str(tmp_path / "enough"))
    before = os.environ["NUMBA_CACHE_DIR"]
    kernel_cache.settle()
    assert os.environ["NUMBA_CACHE_DIR"] == before
    assert list(nowhere.iterdir()) == []


def test_else_it_is_a_folder_of_this_user_alone(nowhere: Path) -> None:
    for _ in range(2):  # the same for all processes
        kernel_cache.settle()
        (folder,) = nowhere.iterdir()
        assert os.environ["NUMBA_CACHE_DIR"] == str(folder)
        assert (folder.stat().st_mode & 0o777, folder.stat().st_uid) == (0o700, os.getuid())


@pytest.mark.parametrize("planted", ["open", "link", "file"])
def test_one_that_others_could_have_filled_is_not_used(nowhere: Path, planted: str) -> None:
    usual = kernel_cache.temporary()
    usual.rmdir()
    if planted == "open":
        usual.mkdir()
        usual.chmod(0o777)
    elif planted == "link":
        (nowhere / "elsewhere").mkdir(mode=0o700)
        usual.symlink_to(nowhere / "elsewhere")
    else:
        usual.touch()
    kernel_cache.settle()
    own = Path(os.environ["NUMBA_CACHE_DIR"])
    assert own != usual and own.parent == nowhere
    assert own.stat().st_mode & 0o777 == 0o700


def test_where_there_is_none_the_variable_is_named(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(nowhere / "missing"))
    with pytest.raises(KernelCacheError, match="NUMBA_CACHE_DIR"):
        kernel_cache.settle()


def test_an_install_that_cannot_be_written_to_works(tmp_path: Path) -> None:
    """As a package of the system that a user without a home runs."""
    tried = ["unshare", "--mount", "true"]
    if shutil.which("unshare") is None or subprocess.run(tried, capture_output=True).returncode:
        pytest.skip("needs root and mount namespaces")
    bound = tmp_path / "install"
    for room in ("topics", "models", "stream"):
        shutil.copytree(ROOT / room, bound / room, ignore=shutil.ignore_patterns("__pycache__"))
    script = f'mount --bind {bound} {bound} && mount -o remount,ro,bind {bound} && exec "$@"'
    environment = {
        **os.environ, "HOME": "/nonexistent", "XDG_CACHE_HOME": "/proc/none",
        "PYTHONPATH": str(bound), "TMPDIR": str(tmp_path),
    }  # fmt: skip
    environment.pop("NUMBA_CACHE_DIR", None)
    run = ["unshare", "--mount", "sh", "-ec", script, "sh", sys.executable, "-c", PROGRAM]
    done = subprocess.run(run, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    given, known, used = done.stdout.split()
    assert given == known == str(tmp_path / f"tidecast-kernels-{os.getuid()}")
    assert Path(used).parent == Path(given)
