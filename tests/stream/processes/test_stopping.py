"""Which signals end a process in its own order."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from stream.processes.stopping import SIGNALS

PROGRAM = """
import asyncio, sys
from stream.processes.stopping import when_told

async def run():
    told = asyncio.Queue()
    when_told(told.put_nowait)
    print("ready", flush=True)
    print((await told.get()).name)

asyncio.run(run())
"""


def started(*before: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*before, sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", SIGNALS)
def test_what_is_in_flight_is_finished(number: signal.Signals) -> None:
    process = started()
    process.send_signal(number)
    assert process.communicate(timeout=60)[0] == f"{number.name}\n"
    assert process.returncode == 0


def test_what_nohup_has_started_outlives_its_terminal() -> None:
    process = started("nohup")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[0] == "SIGTERM\n"
