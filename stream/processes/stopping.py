"""The signals that end a process in its own order: what is in flight is finished first.

SIGINT     Ctrl-C
SIGTERM    service managers, containers, and whoever started it
SIGHUP     the terminal is closed; under `nohup`, which has it ignored, it stays ignored
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def when_told(call: Callable[[signal.Signals], object]) -> None:
    """Has the running event loop call `call` with each of the signals that comes."""
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue
        loop.add_signal_handler(number, call, number)
