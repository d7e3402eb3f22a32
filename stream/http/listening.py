"""Addresses that servers here listen on.

ListenError(TidecastError)    one that cannot be had; names it, the reason and the settings
"""

from __future__ import annotations

import os
import random
import socket
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


# Below those that systems give to connections: one of these could take a port before its server.
_PORTS = range(16_384, 32_768)
# A port is free until its server listens on it, and who asks meanwhile would be given it as well.
# So processes side by side look in different places first.
_PLACES = 64
_given: set[int] = set()


def free_port() -> int:
    """A TCP port on the loopback address that nothing listens on, and that was not given before.

    Raises:
        ListenError: all of them are taken.
    """
    shuffled = random.SystemRandom().sample
    of_this_process = _PORTS[os.getpid() % _PLACES :: _PLACES]
    places = (of_this_process, _PORTS)
    for port in (port for place in places for port in shuffled(place, len(place))):
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise ListenError(f"no port of {_PORTS.start} to {_PORTS.stop - 1} is free on 127.0.0.1")
