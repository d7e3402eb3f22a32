"""Varnish, with the configuration that ships, obeying a real agent on a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stream.broker import free_port
from tests.system.edge_replay import Edge, replay
from tests.system.edge_servers import VARNISH, Origin, Varnish
from tests.system.edge_traffic import traffic

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(VARNISH is None, reason="Varnish is missing; `make packages` installs it"),
]
PAST, SERVED = 20_000, 10_000
SIZE = 100_000
MIB = 1 << 20
STORE, REST = 20 * MIB, 1 * MIB


@pytest.fixture
def origin() -> Iterator[Origin]:
    origin = Origin(SIZE)
    yield origin
    origin.close()


async def test_fewer_requests_reach_the_origin_with_decisions(
    cluster: Any, origin: Origin, tmp_path: Path
) -> None:
    requests, listener = traffic(PAST, SERVED), free_port()
    edge = Edge(cluster, tmp_path / "edge.sock", edge_varnish=f"http://127.0.0.1:{listener}")
    port = cluster.settings.edge_port
    folder = tmp_path / "without"
    with closing(Varnish(folder, origin, port, listener, STORE, REST)) as server:
        without = await replay(edge, server, origin, requests, decide=False)
    edge.start(cache_objects=(STORE - REST) // SIZE)
    folder = tmp_path / "with"
    with closing(Varnish(folder, origin, port, listener, STORE - REST, REST)) as server:
        obeying = await replay(edge, server, origin, requests, decide=True)
        counters = server.counters()
    print(
        f"\nVarnish, {SERVED} requests of {requests.source}, a cache of {STORE // MIB} MiB for "
        f"objects of {SIZE // 1000} kB: {without.fetches} origin fetches without decisions, "
        f"{obeying.fetches} with them"
    )
    assert max(without.held, obeying.held) <= STORE
    assert obeying.fetches < 0.95 * without.fetches
    assert counters["MAIN.cache_hitmiss"] == counters["MAIN.cache_hitpass"] == 0
