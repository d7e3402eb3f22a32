"""The Makefile and .ci/packages on machines that lack something, by way of stand-in programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
BASH, MAKE = shutil.which("bash"), shutil.which("make")
OLD = 'echo "Python 3.9.2"; [ "$1" = --version ]'
WITHOUT_VENV = 'case "$2" in *ensurepip*) exit 1 ;; *) exit 0 ;; esac'
pytestmark = pytest.mark.skipif(not (BASH and MAKE), reason="bash or make is not installed")


def program(folder: Path, name: str, body: str) -> None:
    """A stand-in program that runs `body`."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!{BASH}\n{body}\n")
    (folder / name).chmod(0o755)


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the project's Makefile in a folder that has nothing else of it."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return subprocess.run(
        [MAKE or "make", *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def packages(folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """Runs .ci/packages where there are no programs but the stand-ins."""
    folder.mkdir(exist_ok=True)
    (folder / "env").symlink_to(shutil.which("env") or "/usr/bin/env")
    return subprocess.run(
        [BASH or "bash", ROOT / ".ci" / "packages", *names],
        env={"PATH": str(folder), "PYTHON": "python3"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_make_alone_lists_what_there_is(tmp_path: Path) -> None:
    listed = make(tmp_path).stdout
    for target in ("setup", "run", "test", "soak", "lint", "format", "contract", "bench"):
        assert f"make {target} " in listed


@pytest.mark.parametrize("target", ["run", "test", "setup"])
def test_an_old_python_is_named_with_what_to_do(tmp_path: Path, target: str) -> None:
    program(tmp_path, "oldpython", OLD)
    done = make(tmp_path, target, f"PYTHON={tmp_path}/oldpython")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert "Python 3.9.2" in done.stderr
    assert f"make {target} PYTHON=python3.12" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_a_missing_python_is_named(tmp_path: Path) -> None:
    done = make(tmp_path, "run", "PYTHON=nopython")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer; got 'nopython'" in done.stderr


def test_a_python_without_venv_is_named_with_what_to_do(tmp_path: Path) -> None:
    program(tmp_path, "bare", WITHOUT_VENV)
    done = make(tmp_path, "setup", f"PYTHON={tmp_path}/bare")
    assert done.returncode != 0
    assert "apt-get install python3-venv" in done.stderr


def test_packages_are_left_alone_where_they_are(tmp_path: Path) -> None:
    program(tmp_path, "kcat", "")
    done = packages(tmp_path, "kcat")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_may_not_be_installed_is_said_and_is_no_failure(tmp_path: Path) -> None:
    done = packages(tmp_path, "kcat")
    assert done.returncode == 0
    assert done.stderr == (
        "packages: kcat is missing: tests that read the topics with kcat are skipped\n"
    )


def test_root_installs(tmp_path: Path) -> None:
    program(tmp_path, "id", "echo 0")
    copy = f"{shutil.which('cp')} {tmp_path}/id {tmp_path}/kcat"
    program(tmp_path, "apt-get", f'case "$*" in *install*kcat*) {copy} ;; esac')
    done = packages(tmp_path, "kcat")
    assert (done.returncode, done.stdout, done.stderr) == (0, "packages: installing kcat\n", "")


def test_a_password_is_never_asked_for(tmp_path: Path) -> None:
    program(tmp_path, "id", "echo 1000")
    program(tmp_path, "sudo", '[ "$1" = -n ] || exit 3; exit 1')
    program(tmp_path, "apt-get", f"echo called >{tmp_path}/called")
    done = packages(tmp_path, "kcat")
    assert done.returncode == 0
    assert "kcat is missing" in done.stderr
    assert not (tmp_path / "called").exists()


def test_a_failed_installation_is_said_and_is_no_failure(tmp_path: Path) -> None:
    program(tmp_path, "id", "echo 0")
    program(tmp_path, "apt-get", "exit 100")
    done = packages(tmp_path, "kcat")
    assert done.returncode == 0
    assert "apt-get install failed" in done.stderr
    assert "kcat is missing" in done.stderr


def test_a_package_that_is_not_known_is_refused_with_those_that_are(tmp_path: Path) -> None:
    done = packages(tmp_path, "kcat", "apache2")
    assert done.returncode == 2
    assert (
        "unknown package 'apache2'; known are chromium, default-jre-headless, kcat" in done.stderr
    )


def test_a_command_that_takes_its_time_is_told_of(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, ROOT / ".ci" / "patiently", "waiting", "sh", "-c",
         "echo one; sleep 5; echo two; exit 3"],
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert told.returncode == 3
    lines = told.stdout.splitlines()
    assert {"one", "two", "waiting ..."} <= set(lines)
    between = lines[lines.index("one") + 1 : lines.index("two")]
    assert any(line.endswith("s waiting ...") for line in between)
