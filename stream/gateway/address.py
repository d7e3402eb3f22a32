"""Where the gateway answers."""

from __future__ import annotations

import socket

from stream.http import listening
from stream.http.listening import ListenError
from stream.settings import Settings


def bind(settings: Settings) -> socket.socket:
    """A socket at the address of the settings.

    Raises:
        ListenError: it cannot be had.
    """
    host, port = settings.http_host, settings.http_port
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        with listening.named(host, port, "the settings http_host and http_port (0: any free port)"):
            bound.bind((host, port))
    except ListenError:
        bound.close()
        raise
    return bound


def with_free_port(settings: Settings) -> Settings:
    """The settings with their port if it is free, else with one that is."""
    try:
        with bind(settings) as bound:
            return settings.having(http_port=bound.getsockname()[1])
    except ListenError:
        with bind(settings.having(http_port=0)) as bound:
            return settings.having(http_port=bound.getsockname()[1])


def url(host: str, port: int) -> str:
    """What to type into a browser on this machine."""
    named = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{named}:{port}"
