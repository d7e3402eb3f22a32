"""Children end with their parent, however that goes."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from stream.processes.children import Child
from tests.patience import PATIENCE, until_so

PARENT = """
import sys, time
from stream.processes.children import Child
children = [Child(["sleep", "600"]) for _ in range(2)]
print(*(child.pid for child in children), flush=True)
{then}
"""
# Ends only after another has been told to, and notes whether that one was still there.
WITNESS = """
import os, signal, sys, time
def end(number, frame):
    time.sleep(1)
    os.kill({needed}, 0)
    open({file!r}, "w").write("there")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
open({file!r} + ".ready", "w").close()
time.sleep(600)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""


Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def run() -> Iterator[Run]:
    """Starts Python programs, and leaves none of them behind."""
    with contextlib.ExitStack() as stack:

        def start(program: str, *arguments: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", program, *arguments]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def said(process: subprocess.Popen[str]) -> list[str]:
    """The words of the next line that it writes."""
    assert process.stdout is not None
    return process.stdout.readline().split()


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_it_is_the_command_and_ends_as_it_does() -> None:
    assert Child([sys.executable, "-c", "raise SystemExit(3)"]).wait(PATIENCE) == 3
    told = Child([sys.executable, "-c", "print(input())"], stdout=subprocess.PIPE)
    assert told.communicate(timeout=PATIENCE)[0] == b""  # without input
    assert told.returncode == 1
    slept = Child(["sleep", "600"])
    slept.terminate()
    assert slept.wait(PATIENCE) == -signal.SIGTERM
    assert slept.poll() == -signal.SIGTERM


def test_a_command_that_cannot_be_run_says_so() -> None:
    child = Child(["/nowhere/program"], stderr=subprocess.PIPE)
    _, error = child.communicate(timeout=PATIENCE)
    assert child.returncode == 127
    assert error == b"/nowhere/program cannot be run: No such file or directory\n"


def test_signals_are_to_it_what_they_are_to_any_program() -> None:
    asked = "import signal; print(*(signal.getsignal(n).value for n in (13, 25)))"
    directly = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True)
    child = Child([sys.executable, "-c", asked], stdout=subprocess.PIPE)
    assert child.communicate(timeout=PATIENCE)[0] == directly.stdout
    echo = Child(["sh", "-c", "kill -PIPE $$; echo alive"], stdout=subprocess.PIPE)
    assert echo.communicate(timeout=PATIENCE)[0] == b""
    assert echo.returncode == -signal.SIGPIPE


def test_nothing_is_left_of_one_that_has_ended() -> None:
    child = Child(["sleep", "600"])
    guards: list[psutil.Process] = []
    until_so(lambda: guards.extend(psutil.Process(child.pid).children()) or guards, "its guard")
    child.kill()
    assert child.wait(PATIENCE) == -signal.SIGKILL
    until_so(lambda: all(is_gone(guard.pid) for guard in guards), "their end")


@pytest.mark.parametrize("number", ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGKILL"])
def test_a_parent_that_is_ended_takes_them_along(number: str, run: Run) -> None:
    parent = run(PARENT.format(then="time.sleep(600)"))
    children = [int(word) for word in said(parent)]
    assert not any(map(is_gone, children))
    parent.send_signal(signal.Signals[number])
    parent.wait(PATIENCE)
    until_so(lambda: all(map(is_gone, children)), "their end")


@pytest.mark.parametrize("then", ["import os; os._exit(0)", "sys.exit(0)", "os.abort()"])
def test_a_parent_that_ends_takes_them_along(then: str, run: Run) -> None:
    parent = run("import os\n" + PARENT.format(then=then))
    children = [int(word) for word in said(parent)]
    parent.wait(PATIENCE)
    until_so(lambda: all(map(is_gone, children)), "their end")


def test_one_that_does_not_listen_is_killed_with_what_it_has_started(run: Run) -> None:
    start = f"""
import subprocess, sys, time
from stream.processes.children import Child
deaf = {DEAF!r}
child = Child([sys.executable, "-c", "import subprocess, sys;"
               "print(subprocess.Popen([sys.executable, '-c', sys.argv[1]]).pid, flush=True);"
               "exec(sys.argv[1])", deaf], patience=0.5)
print(child.pid, flush=True)
time.sleep(600)
"""
    parent = run(start)
    words = [word for _ in range(4) for word in said(parent)]
    assert words.count("deaf") == 2
    pids = [int(word) for word in words if word != "deaf"]
    parent.kill()
    parent.wait(PATIENCE)
    until_so(lambda: all(map(is_gone, pids)), "their end")


def test_one_that_another_needs_ends_after_it(tmp_path: Path, run: Run) -> None:
    seen = tmp_path / "seen"
    start = """
import sys, time
from stream.processes.children import Child
needed = Child(["sleep", "600"], patience=0)
program = sys.argv[1].format(needed=needed.pid, file=sys.argv[2])
needs = Child([sys.executable, "-c", program], outlived_by=[needed])
print(needed.pid, needs.pid, flush=True)
time.sleep(600)
"""
    parent = run(start, WITNESS, str(seen))
    pids = [int(word) for word in said(parent)]
    until_so(Path(f"{seen}.ready").exists, "a child that is ready")
    parent.kill()
    parent.wait(PATIENCE)
    until_so(lambda: all(map(is_gone, pids)), "their end")
    assert seen.read_text() == "there"
