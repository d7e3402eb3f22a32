"""Varnish, with the configuration that ships, obeying a real agent on a real broker."""

from __future__ import annotations

import asyncio
import http.client
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stream.http.listening import free_port
from tests.patience import PATIENCE
from tests.stream.edge.records import decision
from tests.system.edge.http import Client, Origin, at_once
from tests.system.edge.replay import Edge, replay, until
from tests.system.edge.servers import VARNISH, Varnish
from tests.system.edge.traffic import EDGE, traffic

pytestmark = [
    pytest.mark.embedded,
    pytest.mark.system,
    pytest.mark.skipif(VARNISH is None, reason="Varnish is missing; `make packages` installs it"),
]
PAST, SERVED = 20_000, 6_000
SIZE = 100_000
MIB = 1 << 20
STORE, REST = 20 * MIB, 1 * MIB


@pytest.fixture
def origin() -> Iterator[Origin]:
    origin = Origin(SIZE)
    yield origin
    origin.close()


async def test_fewer_requests_reach_the_origin_with_decisions(
    cluster: Any, origin: Origin, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    with capsys.disabled():  # told by every run, passed or not
        print(
            f"\nVarnish, {SERVED} requests of {requests.source}, a cache of {STORE // MIB} MiB for "
            f"objects of {SIZE // 1000} kB: {without.fetches} origin fetches without decisions, "
            f"{obeying.fetches} with them"
        )
    assert max(without.held, obeying.held) <= STORE
    assert obeying.fetches < 0.95 * without.fetches
    assert counters["MAIN.cache_hitmiss"] == counters["MAIN.cache_hitpass"] == 0


def age(server: Varnish, target: str) -> int:
    """Seconds for which what is answered has been in the cache."""
    client = Client(server.port)
    _, headers, _ = client.get(target)
    client.close()
    return int(headers["Age"])


async def test_a_refusal_is_one_fetch_for_all_who_ask_and_ends_with_its_decision(
    cluster: Any, origin: Origin, tmp_path: Path
) -> None:
    listener = free_port()
    edge = Edge(cluster, tmp_path / "edge.sock", edge_varnish=f"http://127.0.0.1:{listener}")
    edge.start()
    brief = {"beresp.ttl > 60s": "beresp.ttl > 1s", "beresp.ttl = 60s": "beresp.ttl = 1s"}
    port = cluster.settings.edge_port
    folder = tmp_path / "varnish"
    with closing(Varnish(folder, origin, port, listener, STORE, REST, brief)) as server:
        await edge.told(server, decision("/kept", edge=EDGE))
        origin.delay = 0.3
        for target in ("/kept", "/newcomer"):
            await asyncio.to_thread(at_once, server.port, target, 16)
            assert origin.fetches[target] == 1
        origin.delay = 0.0
        stored = server.counters()
        assert stored["SMA.main.g_bytes"] > SIZE and stored["SMA.rest.g_bytes"] > SIZE

        await edge.told(server, decision("/newcomer", edge=EDGE))

        def fetched_again() -> bool:
            server.get("/newcomer")
            return origin.fetches["/newcomer"] == 2

        await until(fetched_again, "the end of the refusal")
        await until(lambda: age(server, "/newcomer") > 2, "an age that no refused one comes to")
        assert origin.fetches["/newcomer"] == 2, "it was admitted, and is not in the cache"
        counters = server.counters()
        assert counters["SMA.main.g_bytes"] > 2 * SIZE
        assert counters["MAIN.cache_hitmiss"] == counters["MAIN.cache_hitpass"] == 0


async def test_varnish_is_told_everything_again_after_a_restart_and_by_its_agent_alone(
    cluster: Any, origin: Origin, tmp_path: Path
) -> None:
    listener = free_port()
    edge = Edge(cluster, tmp_path / "edge.sock", edge_varnish=f"http://127.0.0.1:{listener}")
    edge.start(edge_changes=3)
    names = [f"/v/{number}" for number in range(10)]
    folder, port = tmp_path / "varnish", cluster.settings.edge_port
    with closing(Varnish(folder, origin, port, listener, STORE, REST)) as server:
        bad = [decision(name, edge=EDGE) for name in ("/a\r\nX-Tidecast-TTL: 1", "no path")]
        await edge.told(server, *(decision(name, edge=EDGE) for name in names), *bad)
        assert all(map(server.decides, names))
        await edge.told(server, names[0])
        assert [name for name in names if server.decides(name)] == names[1:]

        server.close()
        await until(lambda: not edge.status()["informed"], "the agent to notice")
        server.start()
        await until(lambda: server.has_heard(edge.status()), "Varnish to be told again")
        assert [name for name in names if server.decides(name)] == names[1:]

        for method in ("PUT", "DELETE", "GET"):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
            connection.request(method, "/.tidecast/decision?/v/1", headers={"X-Tidecast-TTL": "1h"})
            assert connection.getresponse().status == 404
            connection.close()
        assert server.decides("/v/1")


async def test_a_prefetched_object_is_fetched_once_and_then_served_from_the_cache(
    cluster: Any, origin: Origin, tmp_path: Path
) -> None:
    listener = free_port()
    edge = Edge(cluster, tmp_path / "edge.sock", edge_varnish=f"http://127.0.0.1:{listener}")
    folder, port = tmp_path / "varnish", cluster.settings.edge_port
    with closing(Varnish(folder, origin, port, listener, STORE, REST)) as server:
        edge.start(edge_server=f"http://127.0.0.1:{server.port}", edge_prefetch_rate=20.0)
        names = [f"/v/{number}.mp4?hd=1" for number in range(5)]
        await edge.tell(*(decision(name, verdict="prefetch", edge=EDGE) for name in names))
        await until(lambda: len(origin.fetches) == len(names), "the prefetches")
        for name in names:
            assert await asyncio.to_thread(server.get, name) == 200
        assert origin.fetches == Counter(names)
        assert server.counters()["SMA.rest.g_bytes"] == 0
