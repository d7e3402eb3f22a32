"""Where an agent listens, and what keeps it from starting."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from stream.edge.agent import EdgeError, serve, tcp_socket, unix_socket
from stream.settings import Settings


def test_the_socket_has_its_mode_and_replaces_one_that_nobody_listens_on(tmp_path: Path) -> None:
    path = tmp_path / "run" / "edge.sock"
    first = unix_socket(path, 0o640)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with pytest.raises(EdgeError, match="another agent listens there"):
        unix_socket(path, 0o660)
    first.close()
    second = unix_socket(path, 0o660)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    second.close()


def test_a_file_is_not_replaced_by_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "edge.sock"
    path.write_text("precious")
    with pytest.raises(EdgeError, match="cannot be opened"):
        unix_socket(path, 0o660)
    assert path.read_text() == "precious"


def test_a_path_too_long_for_a_socket_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="at most 107 characters"):
        unix_socket(tmp_path / ("a" * 120), 0o660)


def test_a_port_that_is_taken_is_refused_with_what_to_do() -> None:
    with tcp_socket("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(EdgeError, match=f"127.0.0.1 port {port} cannot .* a port that is free"):
            tcp_socket("127.0.0.1", port)


async def test_an_agent_that_has_no_edge_or_that_nobody_could_ask_does_not_start() -> None:
    with pytest.raises(EdgeError, match="--edge"):
        await serve(Settings())
    with pytest.raises(EdgeError, match="edge_socket, edge_port or both"):
        await serve(Settings(edge="lyon", edge_socket="", edge_port=0))
