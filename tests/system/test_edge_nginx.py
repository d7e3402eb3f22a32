"""nginx, with the configuration that ships, obeying a real agent on a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.system.edge_replay import Edge, replay
from tests.system.edge_servers import NGINX, Nginx, Origin
from tests.system.edge_traffic import traffic

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        NGINX is None,
        reason="nginx, its Lua module or lua-cjson is missing; `make packages` installs them",
    ),
]
PAST, SERVED = 20_000, 10_000
SIZE = 2_000


@pytest.fixture
def origin() -> Iterator[Origin]:
    origin = Origin(SIZE)
    yield origin
    origin.close()


async def test_fewer_requests_reach_the_origin_with_decisions(
    cluster: Any, origin: Origin, tmp_path: Path
) -> None:
    requests = traffic(PAST, SERVED)
    edge = Edge(cluster, tmp_path / "edge.sock")
    with closing(Nginx(tmp_path / "without", origin, edge.socket)) as server:
        without = await replay(edge, server, origin, requests, decide=False)
    edge.start(cache_objects=without.held)
    with closing(Nginx(tmp_path / "with", origin, edge.socket)) as server:
        obeying = await replay(edge, server, origin, requests, decide=True)
    print(
        f"\nnginx, {SERVED} requests of {requests.source}, a cache of {without.held} objects: "
        f"{without.fetches} origin fetches without decisions, {obeying.fetches} with them"
    )
    assert obeying.held <= without.held
    assert obeying.fetches < 0.95 * without.fetches
