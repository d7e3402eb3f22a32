"""Which kernel numba compiles now: each takes seconds, in which nothing else would be said.

numba tells of what it really compiles; a kernel that it loads from its cache is no event. One that
another calls is compiled within that one's compilation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import event

_KIND = "numba:compile"


class _Listener(event.Listener):
    def __init__(self, began: Callable[[int, str], None], ended: Callable[[], None]) -> None:
        self._began = began
        self._ended = ended
        self._count = 0

    def on_start(self, event: Any) -> None:
        self._count += 1
        self._began(self._count, event.data["dispatcher"].py_func.__name__)

    def on_end(self, event: Any) -> None:
        self._ended()


def follow(began: Callable[[int, str], None], ended: Callable[[], None]) -> Callable[[], None]:
    """Calls `began` with the number and the name of each kernel that is compiled from now on.

    Args:
        began: called before; the first kernel is number 1.
        ended: called after, in the order of the calls: the inner kernel ends before the outer one.

    Returns:
        what ends it.
    """
    listener = _Listener(began, ended)
    event.register(_KIND, listener)
    return lambda: event.unregister(_KIND, listener)
