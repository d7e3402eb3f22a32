"""Child processes that do not outlive their parent, even one that is killed.

parent ──lifeline──► guard     a socket; closed by the kernel when the parent ends
  └────► child ────► guard     (`stream.processes.lifeline`): tells the child to end, then kills it
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Enough to finish a batch and commit it; little for somebody who looks whether all is gone.
PATIENCE = 5.0
_LIFELINE = Path(__file__).with_name("lifeline.py")
_GUARD_SECONDS = 5.0  # it ends in a millisecond; only one that is stopped takes longer


class Child(subprocess.Popen[bytes]):
    """A `Popen` in a session of its own, without input, that ends when this process does.

    Signals of the terminal reach the parent alone, which stops its children in its own order. A
    command that cannot be run ends with 127 and says why on its standard error.

    >>> Child([sys.executable, "-c", "raise SystemExit(3)"]).wait()
    3
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        patience: float = PATIENCE,
        outlived_by: Sequence[Child] = (),
        **options: Any,
    ) -> None:
        """
        Args:
            command: program and arguments.
            patience: seconds that it has from SIGTERM to SIGKILL once the parent is gone; 0: none.
            outlived_by: children that are not to be ended before this one, though the parent is
                gone: it holds their lifelines too.
            options: of `Popen`; not `close_fds`, `pass_fds` or `start_new_session`.
        """
        ours, theirs = socket.socketpair()
        self._lifeline: socket.socket | None = ours
        lifelines = [child._lifeline.fileno() for child in outlived_by if child._lifeline]
        with theirs:
            super().__init__(
                [sys.executable, "-I", "-S", str(_LIFELINE), str(theirs.fileno()), f"{patience:g}",
                 *command],
                pass_fds=(theirs.fileno(), *lifelines),
                start_new_session=True,
                **{"stdin": subprocess.DEVNULL} | options,
            )  # fmt: skip

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        code = super().poll()
        if code is not None:
            self._dismiss()
        return code

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not within `timeout` seconds.
        """
        code = super().wait(timeout)
        self._dismiss()
        return code

    def _dismiss(self) -> None:
        """Lets the guard of a child that has ended go, and sees that it is gone."""
        if self._lifeline is None:
            return
        with self._lifeline as lifeline, contextlib.suppress(OSError):
            lifeline.shutdown(socket.SHUT_WR)
            lifeline.settimeout(_GUARD_SECONDS)
            lifeline.recv(1)  # nothing comes; it returns when the guard's end is closed
        self._lifeline = None
