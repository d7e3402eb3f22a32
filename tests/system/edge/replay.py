"""An edge agent beside a server, and a replay of traffic through the two."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer

from stream.http.listening import free_port
from stream.kafka.partitions import partition_hash
from stream.processes.roles import RoleProcess
from tests.patience import PATIENCE, until
from tests.stream.edge.records import epoch
from tests.system.edge.http import Client, Origin
from tests.system.edge.servers import EdgeServer
from tests.system.edge.traffic import EDGE, Decider, Traffic, windows
from topics.catalogue import CACHE_DECISIONS, decision_key
from topics.records import CacheDecision, EdgeEpoch, EdgeRequest

WINDOW = 900.0


class Edge:
    """The agent of an edge, with what it listens on.

    Attributes:
        agent: its process, once it was started.
        socket: its Unix socket.
    """

    def __init__(self, cluster: Any, socket: Path, **settings: Any) -> None:
        self.cluster = cluster
        self.socket = socket
        cluster.settings = cluster.settings.having(
            edge=EDGE, edge_socket=str(socket), edge_port=free_port(), edge_socket_mode="666",
            window=WINDOW, allowed_lateness=0.0, **settings,
        )  # fmt: skip
        self.agent: RoleProcess | None = None
        self._epochs = 0

    def start(self, **settings: Any) -> RoleProcess:
        """Starts the agent, with settings changed."""
        self.cluster.settings = self.cluster.settings.having(**settings)
        self.agent = self.cluster.start("edge-agent")
        return self.agent

    def status(self) -> dict[str, Any]:
        """What the agent says of itself; nothing while it does not answer."""
        url = f"http://127.0.0.1:{self.cluster.settings.edge_port}/status"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                found: dict[str, Any] = msgspec.json.decode(answer.read())
        except OSError:
            return {}
        return found

    async def publish(self, producer: AIOKafkaProducer, content: Sequence[Any]) -> None:
        """Sends changes of decisions to the edge's partition."""
        number = partition_hash(EDGE.encode()) % self.cluster.settings.partitions
        sent = [
            await producer.send(
                CACHE_DECISIONS.name,
                None if record is None else CACHE_DECISIONS.codec.encode(record),
                key=key,
                partition=number,
            )
            for key, record in content
        ]
        await asyncio.gather(*sent)

    async def tell(self, *decisions: CacheDecision | str, number: int | None = None) -> None:
        """Decides on objects, or returns those that are only named, and closes an epoch."""
        self._epochs = self._epochs + 1 if number is None else number
        closing = epoch(self._epochs, time.time(), EDGE)
        content: list[Any] = [
            (decision_key(EDGE, one), None)
            if isinstance(one, str)
            else (decision_key(EDGE, one.object_id), one)
            for one in decisions
        ]
        async with AIOKafkaProducer(bootstrap_servers=self.cluster.settings.kafka) as producer:
            await self.publish(producer, [*content, (decision_key(EDGE), closing)])

    async def told(self, server: EdgeServer, *decisions: CacheDecision | str) -> None:
        """`tell`, and wait until the server obeys that."""
        await self.tell(*decisions)
        await in_force(self, server, self._epochs)


class Outcome(NamedTuple):
    """What a replay came to."""

    fetches: int  # of the origin
    held: int  # by the server at most


async def replay(
    edge: Edge, server: EdgeServer, origin: Origin, requests: Traffic, decide: bool
) -> Outcome:
    """Serves the requests, window by window.

    With `decide`, what the windows before a window decide is in force when it is served.
    """
    decider = Decider(edge.cluster.settings)
    before, most = origin.total, 0
    client = Client(server.port)
    async with AIOKafkaProducer(bootstrap_servers=edge.cluster.settings.kafka) as producer:
        changes = list(decider.changes(requests.past, time.time())) if decide else []
        for window in windows(requests.served, WINDOW):
            if decide:
                changes += decider.changes(window, time.time())
            if changes:
                await edge.publish(producer, changes)
                closing = changes[-1].record
                assert isinstance(closing, EdgeEpoch)
                await in_force(edge, server, closing.epoch)
                changes = []
            await asyncio.to_thread(serve, client, window)
            most = max(most, server.held())
    client.close()
    return Outcome(origin.total - before, most)


def serve(client: Client, requests: Sequence[EdgeRequest]) -> None:
    """Asks for each, and sees that it was answered."""
    for request in requests:
        status, _, _ = client.get(request.object_id)
        assert status == 200, request.object_id


async def in_force(edge: Edge, server: EdgeServer, number: int) -> None:
    """Returns when the server obeys what was decided with an epoch."""

    def heard() -> bool:
        status = edge.status()
        return status.get("epoch") == number and server.has_heard(status)

    await until(heard, f"{type(server).__name__} to hear of epoch {number}")
