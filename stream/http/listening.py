"""Addresses that servers here listen on.

ListenError(TidecastError)    one that cannot be had; names it, the reason and the settings
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from topics.errors import TidecastError


class ListenError(TidecastError):
    """An address cannot be listened on."""


@contextmanager
def named(host: str, port: int, settings: str) -> Iterator[None]:
    """Has what fails while a socket is opened say which, and where to give another.

    Args:
        host: address or name of this machine.
        port: TCP port.
        settings: what names them, in words.

    Raises:
        ListenError: in the place of OSError, and of OverflowError for a port beyond 65535.
    """
    try:
        yield
    except (OSError, OverflowError) as error:
        # Some have the whole message for a reason; the system's own word for it is shorter.
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number is not None and number > 0 else str(error)
        raise ListenError(
            f"cannot listen on {host} port {port} ({reason}); give another with {settings}"
        ) from error
