"""An address that cannot be listened on is named, with the settings that give it."""

from __future__ import annotations

import socket

import pytest

from stream.gateway import address
from stream.http import listening
from stream.http.listening import ListenError
from stream.settings import Settings
from stream.telemetry import metrics_server


def failure(settings: Settings, server: str) -> str:
    """What a server says that cannot listen."""
    with pytest.raises(ListenError) as raised:
        if server == "metrics":
            from prometheus_client import CollectorRegistry

            metrics_server.start(CollectorRegistry(), settings)
        else:
            address.bind(settings).close()
    return str(raised.value)


@pytest.mark.parametrize(("server", "setting"), [("metrics", "metrics"), ("gateway", "http")])
def test_what_cannot_be_had_is_named(server: str, setting: str) -> None:
    host, port = f"{setting}_host", f"{setting}_port"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        told = failure(Settings(**{port: number}), server)
    assert told.startswith(
        f"cannot listen on 127.0.0.1 port {number} (Address already in use); give another with the "
        f"settings {host} and {port}"
    )
    # Of the addresses for documentation, hence of no machine.
    open_to_all = {"http_open": (server,), port: number}
    told = failure(Settings(**{host: "192.0.2.1"}, **open_to_all), server)
    assert "192.0.2.1" in told and "Cannot assign requested address" in told
    told = failure(Settings(**{host: "no.such.host.invalid"}, **open_to_all), server)
    assert "no.such.host.invalid" in told and "settings" in told
    assert "0-65535" in failure(Settings(**{port: 70_000}), server)


def test_what_can_be_had_is_left_alone() -> None:
    with listening.named("127.0.0.1", 1, "nothing"):
        pass


def test_each_free_port_is_given_once_and_in_places_of_ones_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[int, set[int]] = {}
    for process in (64, 65):
        monkeypatch.setattr("os.getpid", lambda process=process: process)
        monkeypatch.setattr(listening, "_given", set())
        given[process] = {listening.free_port() for _ in range(100)}
        assert len(given[process]) == 100
    assert not given[64] & given[65]
    monkeypatch.setattr(listening, "_PORTS", range(16_384, 16_384 + 2))
    monkeypatch.setattr(listening, "_given", {16_384})
    with socket.create_server(("127.0.0.1", 16_385)), pytest.raises(ListenError, match="no port"):
        listening.free_port()
