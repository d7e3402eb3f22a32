"""What the edge agent costs: its look-ups, its memory, and the servers that obey it.

    python -m benchmarks.edge [--decisions 20000] [--requests 1000] [--json FILE]

Each figure stands beside its yardstick of the same run:

    look-ups      one object a request on one connection, and a thousand a request, on the Unix
                  socket of a real agent; beside them `/obeyed` there, which looks nothing up
    memory        of the agent's process, at so many decisions and without any
    reading       so many decisions from the broker to the agent's being complete; beside it a
                  bare consumer that decodes nothing
    nginx         a hit, and a miss of what is refused; beside them nginx without Lua
    Varnish       the same; beside them Varnish while it has no agent. And how long it takes until
                  it has heard of a tenth of the decisions

Latencies are a client's, which is a Python program: about 0.1 ms of each is its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from stream.http.listening import free_port
from stream.kafka.broker import create_topics
from stream.kafka.pacing import pace_fetches
from stream.kafka.partitions import partition_hash
from stream.local.embedded import embedded
from stream.settings import Settings
from tests.stream.edge.records import decision, epoch
from tests.system.conftest import Cluster
from tests.system.edge.http import Client, Origin
from tests.system.edge.replay import Edge, until
from tests.system.edge.servers import NGINX, VARNISH, Nginx, Varnish
from tests.system.edge.traffic import EDGE
from topics.catalogue import CACHE_DECISIONS, decision_key

WARM_UP = 200
MIB = 1 << 20
PLAIN = """      rewrite_by_lua_block {
        local stored = ngx.var.personal == "0" and require("tidecast").stores(ngx.var.object)
          and require("tidecast_storable").may_be()
        return ngx.exec(stored and "@kept" or "@refused")
      }
"""


def object_name(number: int) -> str:
    return f"/videos/object-{number:07d}.mp4"


def percentiles(call: Callable[[int], Any], count: int) -> dict[str, float]:
    """p50 and p99 of a call in milliseconds, after a few to warm up."""
    taken = np.empty(count)
    for number in range(-WARM_UP, count):
        started = time.perf_counter()
        call(number + WARM_UP)
        if number >= 0:
            taken[number] = time.perf_counter() - started
    return {
        "p50_ms": round(float(np.percentile(taken, 50)) * 1e3, 3),
        "p99_ms": round(float(np.percentile(taken, 99)) * 1e3, 3),
        "a_second": round(count / float(taken.sum())),
    }


class UnixClient:
    """HTTP on one connection to a Unix socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rb")

    def ask(self, method: str, target: str, body: bytes = b"") -> bytes:
        head = f"{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode() + body)
        length = 0
        while (line := self._file.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line[15:])
        return self._file.read(length)


def agent_bytes() -> int:
    """Resident memory of the agent's process."""
    for child in psutil.Process().children():
        if "edge-agent" in child.cmdline():
            return int(child.memory_info().rss)
    raise RuntimeError("no agent runs")


async def publish(settings: Settings, count: int) -> None:
    """So many decisions about the edge, and an epoch that closes them."""
    number = partition_hash(EDGE.encode()) % settings.partitions
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
        for one in range(count):
            record = decision(object_name(one), expires_at=4e9, edge=EDGE)
            key = decision_key(EDGE, record.object_id)
            value = CACHE_DECISIONS.codec.encode(record)
            await producer.send(CACHE_DECISIONS.name, value, key=key, partition=number)
        closing_record = CACHE_DECISIONS.codec.encode(epoch(1, time.time(), EDGE))
        key = decision_key(EDGE)
        await producer.send(CACHE_DECISIONS.name, closing_record, key=key, partition=number)


async def bare_seconds(settings: Settings, count: int) -> float:
    """Reading as many messages with a consumer that does nothing else."""
    source = TopicPartition(
        CACHE_DECISIONS.name, partition_hash(EDGE.encode()) % settings.partitions
    )
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, auto_offset_reset="earliest")
    pace_fetches(consumer)
    started = time.perf_counter()
    async with consumer:
        consumer.assign([source])
        seen = 0
        while seen <= count:
            seen += len((await consumer.getmany(source, timeout_ms=500)).get(source, ()))
    return time.perf_counter() - started


async def measure_agent(cluster: Cluster, folder: Path, count: int, requests: int) -> dict:
    edge = Edge(cluster, folder / "edge.sock", edge_decisions=count)
    empty = edge.start()
    await until(lambda: edge.status().get("complete"), "the agent")
    idle = agent_bytes()
    cluster.kill(empty)
    await publish(cluster.settings, count)
    bare = await bare_seconds(cluster.settings, count)
    started = time.perf_counter()
    agent = edge.start()
    await until(lambda: edge.status().get("decisions") == count, "the decisions")
    seconds = time.perf_counter() - started
    used = agent_bytes()
    client = UnixClient(edge.socket)
    batch = json.dumps({"objects": [object_name(n) for n in range(1000)]}).encode()
    answer = json.loads(client.ask("GET", f"/decision?object={object_name(7)}"))
    assert answer["verdict"] == "admit" and answer["obeyed"]
    result = {
        "decisions": count,
        "bytes_a_decision": round((used - idle) / count),
        "agent_start_and_reading_seconds": round(seconds, 2),
        "bare_reading_seconds": round(bare, 2),
        "look_up": percentiles(
            lambda n: client.ask("GET", f"/decision?object={object_name(n)}"), requests
        ),
        "obeyed": percentiles(lambda n: client.ask("GET", "/obeyed"), requests),
        "a_thousand_look_ups": percentiles(lambda n: client.ask("POST", "/decisions", batch), 100),
    }
    cluster.kill(agent)
    return result


def hits_and_misses(port: int, requests: int) -> dict[str, Any]:
    client = Client(port)
    client.get("/videos/hit")
    hit = percentiles(lambda n: client.get("/videos/hit"), requests)
    miss = percentiles(lambda n: client.get(f"/miss/{time.monotonic_ns()}"), requests)
    client.close()
    return {"hit": hit, "miss": miss}


async def measure_nginx(cluster: Cluster, folder: Path, requests: int) -> dict:
    edge = Edge(cluster, folder / "nginx.sock")
    agent = edge.start()
    with closing(Origin(1000)) as origin:
        plain = {PLAIN: "      error_page 418 = @kept;\n      return 418;\n"}
        with closing(Nginx(folder / "plain", origin, edge.socket, plain)) as server:
            without = await asyncio.to_thread(hits_and_misses, server.port, requests)
        with closing(Nginx(folder / "nginx", origin, edge.socket)) as server:
            await edge.told(server, decision("/videos/hit", expires_at=4e9, edge=EDGE))
            obeying = await asyncio.to_thread(hits_and_misses, server.port, requests)
    cluster.kill(agent)
    return {"without_lua": without, "obeying": obeying}


async def measure_varnish(cluster: Cluster, folder: Path, count: int, requests: int) -> dict:
    listener = free_port()
    edge = Edge(cluster, folder / "varnish.sock", edge_varnish=f"http://127.0.0.1:{listener}")
    port = cluster.settings.edge_port
    with (
        closing(Origin(1000)) as origin,
        closing(Varnish(folder / "varnish", origin, port, listener, 64 * MIB, MIB)) as server,
    ):
        without = await asyncio.to_thread(hits_and_misses, server.port, requests)
        agent = edge.start()
        await edge.told(server, decision("/videos/hit", expires_at=4e9, edge=EDGE))
        obeying = await asyncio.to_thread(hits_and_misses, server.port, requests)
        names = [object_name(number) for number in range(count)]
        started = time.perf_counter()
        await edge.told(server, *(decision(n, expires_at=4e9, edge=EDGE) for n in names))
        seconds = time.perf_counter() - started
    cluster.kill(agent)
    told = {"decisions": count, "seconds": round(seconds, 2)}
    return {"without_agent": without, "obeying": obeying, "telling": told}


async def measure(count: int, requests: int) -> dict[str, Any]:
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with embedded(folder / "broker") as (address, _):
            settings = Settings(kafka=address, data_dir=folder / "data")
            await create_topics(settings)
            with closing(Cluster(settings, folder)) as cluster:
                report["agent"] = await measure_agent(cluster, folder, count, requests)
        for server, program in (("nginx", NGINX), ("varnish", VARNISH)):
            if program is None:
                report[server] = "not installed; `make packages`"
                continue
            with embedded(folder / f"broker-{server}") as (address, _):
                settings = Settings(kafka=address, data_dir=folder / server / "data")
                await create_topics(settings)
                with closing(Cluster(settings, folder)) as cluster:
                    if server == "nginx":
                        report[server] = await measure_nginx(cluster, folder, requests)
                    else:
                        told = count // 10
                        report[server] = await measure_varnish(cluster, folder, told, requests)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decisions", type=int, default=20_000)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    report = asyncio.run(measure(arguments.decisions, arguments.requests))
    print(json.dumps(report, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
