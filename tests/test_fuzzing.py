"""The search for input that breaks a reader runs, and finds what is broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE

ROOT = Path(__file__).parents[1]
# Refuses nothing as it should: the searcher has to come back with an input.
BROKEN = """
import sys
sys.argv = ["fuzz", "settings", "--runs", "2000", "--folder", sys.argv[1]]
from tests.fuzz import __main__ as fuzz
fuzz.READERS["settings"] = fuzz.READERS["settings"]._replace(refuses=())
fuzz.main()
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("atheris", reason="no atheris for this machine")
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=4 * PATIENCE
    )


def test_no_reader_breaks(tmp_path: Path) -> None:
    done = python(
        "-m", "tests.fuzz", "--runs", "300", "--longest", f"{PATIENCE:.0f}",
        "--folder", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-1_000:]


def test_a_reader_that_breaks_is_found_and_what_broke_it_kept(tmp_path: Path) -> None:
    done = python("-c", BROKEN, str(tmp_path))
    assert done.returncode == 1, done.stdout[-3_000:]
    assert "SettingsError" in done.stdout
    assert (tmp_path / "settings" / "finding").is_file()
