"""nginx, with the configuration that ships, obeying a real agent on a real broker."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.stream.edge.records import decision
from tests.system.edge.http import Origin, at_once
from tests.system.edge.replay import Edge, replay, until
from tests.system.edge.servers import NGINX, Nginx
from tests.system.edge.traffic import EDGE, traffic
from topics.catalogue import EDGE_REQUESTS

pytestmark = [
    pytest.mark.embedded,
    pytest.mark.system,
    pytest.mark.skipif(
        NGINX is None,
        reason="nginx, its Lua module or lua-cjson is missing; `make packages` installs them",
    ),
]
PAST, SERVED = 20_000, 6_000
SIZE = 2_000


@pytest.fixture
def origin() -> Iterator[Origin]:
    origin = Origin(SIZE)
    yield origin
    origin.close()


async def test_fewer_requests_reach_the_origin_with_decisions(
    cluster: Any, origin: Origin, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    requests = traffic(PAST, SERVED)
    edge = Edge(cluster, tmp_path / "edge.sock")
    with closing(Nginx(tmp_path / "without", origin, edge.socket)) as server:
        without = await replay(edge, server, origin, requests, decide=False)
    edge.start(cache_objects=without.held)
    with closing(Nginx(tmp_path / "with", origin, edge.socket)) as server:
        obeying = await replay(edge, server, origin, requests, decide=True)
    with capsys.disabled():  # told by every run, passed or not
        print(
            f"\nnginx, {SERVED} requests of {requests.source}, a cache of {without.held} objects: "
            f"{without.fetches} origin fetches without decisions, {obeying.fetches} with them"
        )
    assert obeying.held <= without.held
    assert obeying.fetches < 0.95 * without.fetches


async def test_a_refusal_keeps_nobody_waiting_and_what_is_kept_is_fetched_once(
    cluster: Any, origin: Origin, tmp_path: Path
) -> None:
    edge = Edge(cluster, tmp_path / "edge.sock")
    edge.start(edge_burst=0.0)
    # Who waits for another's fetch waits to its end, however slow the machine is.
    patient = {"proxy_cache_lock on;": "proxy_cache_lock on; proxy_cache_lock_timeout 1h;"
               " proxy_cache_lock_age 1h;"}  # fmt: skip
    with closing(Nginx(tmp_path / "nginx", origin, edge.socket, patient)) as server:
        await edge.told(server, decision("/kept", edge=EDGE))
        origin.delay = 0.3
        # It answers none before all are there: behind a lock they would wait for each other.
        origin.together["/refused"] = 16
        await asyncio.to_thread(at_once, server.port, "/refused", 16)
        assert origin.fetches["/refused"] == 16
        await asyncio.to_thread(at_once, server.port, "/kept", 16)
        assert origin.fetches["/kept"] == 1
        # The decision ends, the copy stays as long as there is room; the refused is never stored.
        await edge.told(server, "/kept", decision("/other", edge=EDGE))
        for target in ("/kept", "/refused"):
            await asyncio.to_thread(server.get, target)
        assert (origin.fetches["/kept"], origin.fetches["/refused"]) == (1, 17)


async def test_a_newcomer_that_outdoes_what_is_kept_is_stored_before_the_window_ends(
    cluster: Any, origin: Origin, tmp_path: Path
) -> None:
    edge = Edge(cluster, tmp_path / "edge.sock")
    edge.start()
    with closing(Nginx(tmp_path / "nginx", origin, edge.socket)) as server:
        await edge.told(server, decision("/kept", edge=EDGE, score=math.log(5)))
        burst = server.status()["burst"]
        assert burst == 20
        for _ in range(burst + 10):
            await asyncio.to_thread(server.get, "/newcomer")
        assert origin.fetches["/newcomer"] == burst


async def test_a_prefetched_object_is_fetched_once_and_then_served_from_the_cache(
    cluster: Any, origin: Origin, tmp_path: Path
) -> None:
    edge = Edge(cluster, tmp_path / "edge.sock")
    with closing(Nginx(tmp_path / "nginx", origin, edge.socket)) as server:
        edge.start(edge_server=f"http://127.0.0.1:{server.port}", edge_prefetch_rate=20.0)
        names = [f"/v/{number}.mp4?hd=1" for number in range(5)]
        await edge.tell(*(decision(name, verdict="prefetch", edge=EDGE) for name in names))
        await until(lambda: len(origin.fetches) == len(names), "the prefetches")
        for name in names:
            assert await asyncio.to_thread(server.get, name) == 200
        assert origin.fetches == Counter(names)


async def test_the_log_of_requests_is_what_the_historian_reads(
    cluster: Any, origin: Origin, tmp_path: Path
) -> None:
    started = int(time.time())
    targets = ["/a", "/a", '/v/"17".mp4?hd=1&t=%20b', "/a"]
    with closing(Nginx(tmp_path / "nginx", origin, tmp_path / "no.sock")) as server:
        for target in targets:
            await asyncio.to_thread(server.get, target)
        await until(lambda: server.requests.read_bytes().count(b"\n") >= 4, "the log")
    records = [
        EDGE_REQUESTS.codec.decode(line) for line in server.requests.read_bytes().splitlines()
    ]
    # Each worker has a buffer of its own, so lines may change places: within the lateness allowed.
    assert Counter((record.object_id, record.hit) for record in records) == {
        ("/a", False): 1, ("/a", True): 2, (targets[2], False): 1,
    }  # fmt: skip
    assert {record.size for record in records} == {SIZE}
    ended = time.time()
    assert all(started <= record.timestamp <= ended for record in records)
