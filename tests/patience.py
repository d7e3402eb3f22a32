"""How tests wait: for what is to become so, however long a busy machine takes over it.

A limit here ends what hangs, and says nothing about how long anything may take: that is for
benchmarks. `tests/test_no_wall_clock.py` keeps shorter limits, and sleeps, out of the tests.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Generator
from typing import TypeVar

PATIENCE = 300.0  # seconds
_LOOK_SECONDS = 0.05
T = TypeVar("T")
Told = str | Callable[[], str]


async def until(found: Callable[[], T | Awaitable[T]], what: Told, patience: float = PATIENCE) -> T:
    """What `found` gives, as soon as that is true.

    Args:
        found: a coroutine function, or a function that may block: it is called in a thread.
        what: is waited for, in words; or a function that says so, with how things are.

    Raises:
        TimeoutError: it was not so for `patience` seconds.
    """
    for _ in _looks(what, patience):
        answer = found() if inspect.iscoroutinefunction(found) else asyncio.to_thread(found)
        if result := await answer:
            return result
        await asyncio.sleep(_LOOK_SECONDS)
    raise AssertionError("looks end in an answer or an error")


def until_so(found: Callable[[], T], what: Told, patience: float = PATIENCE) -> T:
    """`until` where no event loop runs."""
    for _ in _looks(what, patience):
        if result := found():
            return result
        time.sleep(_LOOK_SECONDS)
    raise AssertionError("looks end in an answer or an error")


def _looks(what: Told, patience: float) -> Generator[None]:
    """A look, and more as long as there is patience; the last one is after it has ended."""
    deadline = time.monotonic() + patience
    late = False
    while not late:
        late = time.monotonic() > deadline
        yield
    raise TimeoutError(
        f"waited {patience:g} seconds in vain for {what if isinstance(what, str) else what()}"
    )
