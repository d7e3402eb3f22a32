"""What a process says that it is at while it starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stream.processes import starting
from stream.processes.starting import Teller, told
from stream.settings import Settings, SettingsError
from tests.clock import Clock
from tests.patience import PATIENCE

# A process that compiles a kernel which another one calls, and is killed while it is at work.
COMPILES = """
import json, sys
from numba import njit
from stream.processes import starting
from stream.settings import Settings

said = []
class Heard(starting.Teller):
    def tell(self, words, ready=False):
        super().tell(words, ready)
        said.append(self.words)

starting.Teller = Heard
starting.begin(Settings(status_dir=sys.argv[1]), "tracker")
starting.tell_of_kernels()
starting.tell("warming up")

@njit
def inner(x): return x + 1
@njit
def outer(x): return inner(x) * 2
assert outer(1.0) == 4.0
print(json.dumps(said))
"""


def test_the_latest_word_stands_with_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock().read_by(monkeypatch, starting)
    teller = Teller(tmp_path, "tracker")
    teller.tell("importing")
    clock.now += 7
    teller.tell("importing")  # still
    assert told(tmp_path)["tracker"] == starting.Told("tracker", "importing", False, clock.now - 7)
    teller.tell("joining the group")
    assert told(tmp_path)["tracker"].since == clock.now
    teller.tell("joined", ready=True)
    teller.tell("compiling kernel 1, swapped_in")  # at work it has metrics
    assert told(tmp_path)["tracker"].words == "joined"
    assert [path.name for path in tmp_path.iterdir()] == ["tracker"]


def test_nobody_is_told_where_nobody_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(starting, "_mine", starting._mine)
    starting.begin(Settings(), "tracker")
    starting.tell("importing")
    starting.ready("joined")
    assert list(tmp_path.iterdir()) == [] and told("") == {} and told(tmp_path / "none") == {}


def test_a_folder_that_cannot_be_is_named_by_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"status_dir: .*Not a directory"):
        starting.begin(Settings(status_dir=str(tmp_path / "file" / "below")), "tracker")


def test_kernels_are_counted_as_they_are_compiled(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMPILES, str(tmp_path)],
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == [
        "importing", "warming up", "compiling kernel 1, outer", "compiling kernel 2, inner",
        "compiling kernel 1, outer", "warming up",
    ]  # fmt: skip
    assert told(tmp_path)["tracker"].words == "warming up"
