"""The processes of a run on this machine, by the names of their roles."""

from __future__ import annotations

import contextlib
from operator import itemgetter
from pathlib import Path

import psutil


def of(parent: int) -> dict[str, psutil.Process]:
    """Each role below a process, and the embedded broker's server if there is one.

    A guard beside each is a fork of a few megabytes with the same words: the larger is the role.
    """
    found: dict[str, tuple[int, psutil.Process]] = {}
    for process in psutil.Process(parent).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            words, resident = process.cmdline(), process.memory_info().rss
            if "stream" in words and words[-2] == "stream":
                name = words[-1]
            elif words and Path(words[0]).name == "noida-db":
                name = "broker"
            else:
                continue
            found[name] = max(found.get(name, (0, process)), (resident, process), key=itemgetter(0))
    return {name: process for name, (_, process) in found.items()}
