"""The whole chain before real servers, and what becomes of requests as parts of it are killed."""

from __future__ import annotations

import asyncio
import itertools
import signal
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import pytest

from stream.http.listening import free_port
from stream.kafka.broker import create_topics
from stream.settings import Settings
from tests.stream.edge.records import LENGTH, decision
from tests.system.brokers import BROKERS, Broker
from tests.system.conftest import Cluster
from tests.system.edge.http import Client, Origin
from tests.system.edge.replay import WINDOW, Edge, until
from tests.system.edge.servers import NGINX, VARNISH, EdgeServer, Nginx, Varnish
from tests.system.edge.traffic import EDGE, traffic, windows
from topics.catalogue import EDGE_REQUESTS
from topics.records import EdgeRequest

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        NGINX is None or VARNISH is None,
        reason="nginx with Lua, or Varnish, is missing; `make packages` installs them",
    ),
]
SIZE = 20_000
MIB = 1 << 20
STALE = 6.0  # seconds


class Load:
    """Asks servers for objects, all the time, and notes what failed.

    Attributes:
        answered: requests with status 200.
        failed: what went wrong with the others.
    """

    def __init__(self, servers: Sequence[EdgeServer], targets: Sequence[str]) -> None:
        self.answered = 0
        self.failed: list[str] = []
        self._targets = targets
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(s,)) for s in servers]
        for thread in self._threads:
            thread.start()

    def _ask(self, server: EdgeServer) -> None:
        client = Client(server.port)
        for target in itertools.cycle(self._targets):
            if self._stop.wait(0.002):
                break
            try:
                status, _, body = client.get(target)
            except OSError as error:
                self.failed.append(f"{type(server).__name__} {target}: {error!r}")
                continue
            if status == 200 and len(body) == SIZE:
                self.answered += 1
            else:
                self.failed.append(f"{type(server).__name__} {target}: {status}, {len(body)} bytes")
        client.close()

    async def goes_on(self) -> None:
        """Returns when many more requests have been answered."""
        enough = self.answered + 200
        await until(lambda: self.answered >= enough, lambda: f"answers; failed: {self.failed}")

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@asynccontextmanager
async def running_broker(folder: Path, port: int) -> AsyncIterator[Broker]:
    """A broker with the topics, on a port of the test's choice."""
    with BROKERS.own(folder, port) as own:
        await create_topics(Settings(kafka=own.address))
        yield own.brokers[0]


class Chain:
    """Windows of requests on `edge.requests`, one after the other."""

    def __init__(self, cluster: Cluster, requests: Sequence[EdgeRequest]) -> None:
        self._cluster = cluster
        self._windows = iter(windows(requests, WINDOW))

    async def next_window(self) -> None:
        """Publishes the next window's requests, which close the one before."""
        encode = EDGE_REQUESTS.codec.encode
        messages = [(EDGE, encode(request)) for request in next(self._windows)]
        await self._cluster.publish(EDGE_REQUESTS, messages)

    async def until_obeyed(self, servers: Sequence[EdgeServer]) -> None:
        """Goes on from window to window until all servers obey."""

        async def obey() -> bool:
            await self.next_window()
            for _ in range(20):
                if all([await asyncio.to_thread(server.obeys) for server in servers]):
                    return True
                await asyncio.sleep(0.1)
            return False

        await until(obey, "the servers to obey")


async def obeyed_by_none(servers: Sequence[EdgeServer]) -> None:
    for server in servers:
        await until(lambda s=server: not s.obeys(), f"{type(server).__name__} to do without")


async def stores_what_nobody_admitted(
    servers: Sequence[EdgeServer], origin: Origin, name: str
) -> None:
    """Sees that servers do as they would without decisions."""
    for count, server in enumerate(servers, 1):
        for _ in range(3):
            assert await asyncio.to_thread(server.get, name) == 200
        assert origin.fetches[name] == count


async def test_no_request_fails_whatever_is_killed(tmp_path: Path) -> None:
    requests = traffic(past=0, served=80_000).served
    listener, port = free_port(), free_port()
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(running_broker(tmp_path / "broker", port))
        settings = Settings(kafka=f"127.0.0.1:{port}", data_dir=tmp_path / "data")
        cluster = stack.enter_context(closing(Cluster(settings, tmp_path)))
        edge = Edge(
            cluster, tmp_path / "edge.sock", edge_varnish=f"http://127.0.0.1:{listener}",
            edge_lease=2.0, edge_stale_after=STALE, cache_objects=100, ranker="decayed",
        )  # fmt: skip
        origin = stack.enter_context(closing(Origin(SIZE)))
        agent_port = cluster.settings.edge_port
        servers: list[EdgeServer] = [
            Nginx(tmp_path / "nginx", origin, edge.socket),
            Varnish(tmp_path / "varnish", origin, agent_port, listener, 4 * MIB, MIB),
        ]
        for server in servers:
            stack.callback(server.close)
        load = stack.enter_context(closing(Load(servers, [r.object_id for r in requests])))
        chain = Chain(cluster, requests)
        historian, ranker = cluster.start("historian"), cluster.start("ranker")
        agent = edge.start()
        await chain.until_obeyed(servers)

        await load.goes_on()
        cluster.kill(agent)
        await obeyed_by_none(servers)
        await load.goes_on()
        await stores_what_nobody_admitted(servers, origin, "/while/no/agent")
        edge.start()
        await chain.until_obeyed(servers)

        cluster.kill(ranker)
        await obeyed_by_none(servers)
        await load.goes_on()
        assert edge.status()["staleness"] >= STALE
        await stores_what_nobody_admitted(servers, origin, "/while/no/ranker")
        cluster.start("ranker")
        await chain.until_obeyed(servers)

        broker.signal(signal.SIGKILL)
        await obeyed_by_none(servers)
        await load.goes_on()
        await stores_what_nobody_admitted(servers, origin, "/while/no/broker")
        for role in (historian, ranker):
            cluster.kill(role)
        # A new broker knows of nothing; the agent comes back to it by itself.
        await stack.enter_async_context(running_broker(tmp_path / "another", port))
        minute = int(edge.status()["event_time"] // LENGTH)

        obeyed = asyncio.Event()

        async def keep_telling() -> (
            None
        ):  # as a ranker does: one epoch alone may be stale when read
            number = minute
            while not obeyed.is_set():
                number += 1
                after = decision("/v/after.mp4", edge=EDGE, expires_at=4e9)
                await edge.tell(after, number=number)
                await asyncio.sleep(STALE / 3)

        telling = asyncio.create_task(keep_telling())
        for server in servers:
            await until(server.obeys, f"{type(server).__name__} to obey again")
        obeyed.set()
        await telling

        load.close()
        print(f"\n{load.answered} requests answered, {len(load.failed)} failed")
        assert load.failed == []
