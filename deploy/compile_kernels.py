"""Compiles the kernels into numba's cache, so that no role starts with a minute of compiling.

    python deploy/compile_kernels.py            what `tidecast up` runs: the roles and the simulator
    python deploy/compile_kernels.py --all      and of every model that ships, as images have it
    python deploy/compile_kernels.py --times    and lists how long each took

Each part is a small run of what a role is made of, in a process of its own: parts compile side by
side on the cores that there are, and what is in the cache already is only loaded. Which kernel is
compiled at the moment, and how many have been, is what numba says (`models.kernels.compiling`); how
many are still to come nobody knows before, so the bar counts the parts.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import queue
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from models.kernels import compiling
from stream.settings import Duration, Settings

# Short windows, and small messages, so that windows close and are cut.
SETTINGS = Settings(window=Duration(20), message_bytes=4_000)
_LINE_SECONDS = 1.5  # between two lines where there is no terminal
_TICK = 0.25
_SLOWEST = 30  # kernels that `--times` lists

# --------------------------------------------------------------------------- the parts


def simulator(settings: Settings) -> None:
    """The traffic of `tidecast up`."""
    from stream.sources.messages import Limited
    from stream.sources.simulate import Simulation

    for _ in Limited(Simulation(), 5_000):
        pass


def tracker(settings: Settings) -> None:
    """A cascade that grows, is forecast and closes."""
    store, _ = _tracked(settings)
    store.advance(2e9)


def historian(settings: Settings) -> None:
    """Windows of requests, closed, and cut where they are too long for a message."""
    from stream.historian import window

    window.compile_kernel()
    _windows(settings)


def forecaster(settings: Settings) -> None:
    """The model that forecasts, and the one that answers when it is late."""
    from stream.forecaster.batch import fall_back
    from stream.serving import loading

    loading.load(settings, settings.forecaster)
    fall_back(settings)


def ranker(settings: Settings) -> None:
    """The network that ranks objects, and the caches that decisions are held against."""
    from stream.serving import rankers

    _decide(settings, rankers.load(settings, settings.ranker).make)


def decayed(settings: Settings) -> None:
    """The ranker that needs no model."""
    from stream.serving import rankers

    _decide(settings, rankers.decayed(settings))


def forecasters(settings: Settings) -> None:
    """Every model that ships, and what networks that read structure are given."""
    from models import registry
    from models.cascades.graphwave import graphwave
    from models.extras import MissingExtraError
    from stream.serving import loading
    from topics.records import CascadeSnapshot

    for name in registry.list_forecasters():
        with suppress(MissingExtraError):  # its answers are PyTorch's
            loading.load(settings, name)
    store, fired = _tracked(settings)
    store.graph("c")
    graphwave([record for record, *_ in fired if isinstance(record, CascadeSnapshot)])


# Those that take longest begin first.
SERVING = (forecaster, simulator, tracker, ranker, historian)
REST = (forecasters, decayed)


def _tracked(settings: Settings) -> tuple[Any, Sequence[Any]]:
    """A store that has taken in one cascade, and what that has fired."""
    from stream.tracker.store import CascadeStore
    from topics.records import SocialEvent

    events = [
        SocialEvent("c", f"e{number}", f"u{number}", 1e9 + number, "share" if number else "post")
        for number in range(40)
    ]
    store = CascadeStore(settings)
    stamps = np.array([event.timestamp for event in events])
    return store, store.ingest(events, stamps).fired


def _windows(settings: Settings) -> list[Any]:
    """What a historian makes of a few hundred requests of one edge."""
    from stream.historian.histories import EdgeHistories
    from topics.records import EdgeRequest

    requests = [
        EdgeRequest("edge", f"/object/{number % 37}", 1e9 + number / 4, 1_000 + number % 37)
        for number in range(400)
    ]
    stamps = np.array([request.timestamp for request in requests])
    return [window for window, *_ in EdgeHistories(settings).ingest(requests, stamps).closed]


def _decide(settings: Settings, make: Callable[[], Any]) -> None:
    from stream.ranker.decisions import EdgeDecisions

    decisions = EdgeDecisions("edge", make(), settings)
    for window in _windows(settings):
        decisions.step(window, produced_at=window.start)


# --------------------------------------------------------------------------- in a process a part


class Kernel(NamedTuple):
    """One that was compiled: seconds of its own, without those that it calls."""

    part: str
    name: str
    seconds: float


class Word(NamedTuple):
    """What a part is at: its kernel that is compiled, and how many it has begun."""

    part: str
    number: int
    kernel: str


def _compile(part: Callable[[Settings], None], words: queue.Queue[Word]) -> list[Kernel]:
    """Runs a part; returns what it compiled."""
    open_: list[tuple[str, float, float]] = []  # kernel, when it began, seconds of inner ones
    done: list[Kernel] = []
    count = 0

    def began(number: int, kernel: str) -> None:
        nonlocal count
        count = number
        open_.append((kernel, time.perf_counter(), 0.0))
        words.put(Word(part.__name__, count, kernel))

    def ended() -> None:
        kernel, start, inner = open_.pop()
        took = time.perf_counter() - start
        done.append(Kernel(part.__name__, kernel, took - inner))
        if open_:
            outer, start, inner = open_[-1]
            open_[-1] = outer, start, inner + took
            words.put(Word(part.__name__, count, outer))

    words.put(Word(part.__name__, 0, ""))
    end = compiling.follow(began, ended)
    try:
        part(SETTINGS)
    finally:
        end()
    return done


# --------------------------------------------------------------------------- and what is said of it


def compile_side_by_side(
    parts: Sequence[Callable[[Settings], None]], processes: int, console: Console
) -> list[Kernel]:
    """Compiles the parts in so many processes at once, and says what they are at."""
    # Processes that know nothing of this one: a fork would share what it has compiled or locked.
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager, ProcessPoolExecutor(processes, spawn) as pool:
        words: queue.Queue[Word] = manager.Queue()
        running = {pool.submit(_compile, part, words): part.__name__ for part in parts}
        show = _show_bar if console.is_terminal else _show_lines
        show(running, words, console)
        return [kernel for future in running for kernel in future.result()]


class _Now:
    """The latest word of each part that is at work."""

    def __init__(self, running: dict[Future[list[Kernel]], str], words: queue.Queue[Word]) -> None:
        self._running = running
        self._words = words
        self._latest: dict[str, Word] = {}

    @property
    def done(self) -> int:
        """Parts that are over."""
        return sum(future.done() for future in self._running)

    def look(self) -> str:
        """Waits for a moment, and says what the parts are at."""
        wait(self._running, timeout=_TICK)
        with suppress(queue.Empty):
            while True:
                word = self._words.get_nowait()
                self._latest[word.part] = word
        over = {name for future, name in self._running.items() if future.done()}
        return "; ".join(
            f"{word.part}: kernel {word.number}, {word.kernel}"
            if word.number
            else f"{word.part}: begun"
            for word in self._latest.values()
            if word.part not in over
        )


def _show_bar(
    running: dict[Future[list[Kernel]], str], words: queue.Queue[Word], console: Console
) -> None:
    now = _Now(running, words)
    columns = (SpinnerColumn(), BarColumn(20), TextColumn("{task.completed} of {task.total} parts"),
               TimeElapsedColumn(), TextColumn("{task.description}", style="dim"))  # fmt: skip
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("starting", total=len(running))
        while now.done < len(running):
            progress.update(bar, description=now.look(), completed=now.done)
        progress.update(bar, description="", completed=now.done)


def _show_lines(
    running: dict[Future[list[Kernel]], str], words: queue.Queue[Word], console: Console
) -> None:
    now, began, due = _Now(running, words), time.monotonic(), 0.0
    while now.done < len(running):
        text = now.look()
        if time.monotonic() >= due:
            due = time.monotonic() + _LINE_SECONDS
            seconds = time.monotonic() - began
            console.print(
                f"{seconds:6.1f}s kernels: {now.done} of {len(running)} parts; {text or 'starting'}"
            )


def main() -> None:
    """Compiles what is asked for."""
    parser = argparse.ArgumentParser(description="Compiles the kernels into numba's cache.")
    parser.add_argument("--all", action="store_true", help="of every model that ships")
    parser.add_argument("--times", action="store_true", help="list the kernels that took longest")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1,
        help="that compile at once; one a core by default",
    )  # fmt: skip
    asked = parser.parse_args()
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    began = time.monotonic()
    parts = SERVING + REST if asked.all else SERVING
    found = compile_side_by_side(parts, asked.processes, console)
    seconds = time.monotonic() - began
    if found:
        console.print(f"{len(found)} kernels compiled in {seconds:.0f} s")
    else:
        console.print(f"every kernel is compiled already ({seconds:.0f} s to see that)")
    if asked.times:
        for kernel in sorted(found, key=lambda one: -one.seconds)[:_SLOWEST]:
            print(f"{kernel.seconds:7.2f} s  {kernel.part:12} {kernel.name}")


if __name__ == "__main__":
    sys.exit(main())
