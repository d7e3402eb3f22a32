"""The gateway as a process, on a real broker: what was there, what comes, who is late."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from stream.gateway.address import bind, with_free_port
from stream.http.listening import ListenError, free_port
from stream.kafka.broker import create_topics
from stream.processes import starting
from stream.processes.roles import RoleProcess
from stream.settings import Settings
from stream.telemetry.notices import KINDS
from tests.patience import PATIENCE, until
from tests.stream.gateway.conftest import decision, epoch, forecast, outcome, snapshot
from tests.system.brokers import BROKERS
from tests.system.conftest import Cluster
from topics.catalogue import (
    CACHE_DECISIONS,
    CASCADE_OUTCOMES,
    CASCADE_SNAPSHOTS,
    EDGE_WINDOWS,
    POPULARITY_FORECASTS,
    ROLE_NOTICES,
    SOCIAL_EVENTS,
    Topic,
)
from topics.records import EdgeWindow, RoleNotice

pytestmark = pytest.mark.system


async def publish(cluster: Cluster, topic: Topic, *records: Any) -> None:
    keyed = [(getattr(record, "cascade_id", "k"), topic.codec.encode(record)) for record in records]
    await cluster.publish(topic, keyed)


class Running:
    """A gateway of a cluster, and a client of it."""

    def __init__(self, cluster: Cluster, client: httpx2.AsyncClient, process: RoleProcess) -> None:
        self.cluster = cluster
        self.client = client
        self.process = process

    async def until(self, path: str, enough: Any) -> Any:
        """The answer, as soon as it is `enough`."""
        answer: Any = None

        async def found() -> Any:
            nonlocal answer
            assert self.process.exit_code is None, self.process.tail()
            try:
                answer = (await self.client.get(path)).json()
            except httpx2.TransportError:
                return None  # not there yet
            return answer if enough(answer) else None

        return await until(found, lambda: f"{path}, which says {answer}")

    async def events(self, path: str) -> AsyncIterator[tuple[str, Any]]:
        """Server-sent events as (event, data)."""
        async with self.client.stream("GET", path) as response:
            kind = ""
            async for line in response.aiter_lines():
                if line.startswith("event: "):
                    kind = line[7:]
                elif line.startswith("data: "):
                    yield kind, json.loads(line[6:])


@pytest.fixture
async def running(cluster: Cluster) -> AsyncIterator[Running]:
    """A gateway that starts when some of every kind is on the topics already."""
    await publish(cluster, CASCADE_SNAPSHOTS, snapshot("a"))
    await publish(cluster, POPULARITY_FORECASTS, forecast("a"))
    await publish(cluster, CASCADE_OUTCOMES, outcome("a"))
    await publish(cluster, CACHE_DECISIONS, decision("/x"), epoch())
    port = free_port()
    cluster.settings = dataclasses.replace(cluster.settings, http_port=port, stale_after=1.0)
    process = cluster.start("gateway")
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
        yield Running(cluster, client, process)


@pytest.mark.both
async def test_what_was_there_and_what_comes(running: Running) -> None:
    await running.until("/api/ready", lambda answer: answer["ready"])
    cascade = (await running.client.get("/api/cascades/a")).json()
    assert [node["delay"] for node in cascade["graph"]["nodes"]] == [0, 10, 20]
    assert cascade["outcomes"][0]["count"] == 120
    assert (await running.client.get("/api/edges/edge-0")).json()["total"] == 1
    async with asyncio.timeout(PATIENCE):
        told = running.events("/api/stream?events=forecast,changes")
        while (await anext(told))[0] != "changes":  # the roles were looked at: it listens
            continue
        await publish(running.cluster, POPULARITY_FORECASTS, forecast("b"), forecast("c"))
        named = set()
        async for kind, data in told:
            named |= {data["cascade_id"]} if kind == "forecast" else set()
            if named == {"b", "c"}:
                break
        running.process.terminate()  # with the stream still open
        assert [kind async for kind, _ in told if kind == "forecast"] == []
    assert running.cluster.ended(running.process) == 0


async def test_roles_are_late_by_the_age_of_what_waits(running: Running) -> None:
    cluster = running.cluster
    never = await running.until("/api/health", lambda answer: answer["checked_wall"])
    assert {role["words"] for role in never["roles"] if role["name"] == "tracker"} == {
        "not running, and never has been"
    }
    await cluster.publish(SOCIAL_EVENTS, [("k", b"{}")] * 3)
    consumer = AIOKafkaConsumer(
        SOCIAL_EVENTS.name,
        bootstrap_servers=cluster.settings.kafka,
        group_id=cluster.settings.group("tracker"),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with consumer:
        first = await consumer.getone()
        place = TopicPartition(first.topic, first.partition)
        await consumer.commit({place: 1})
        written = first.timestamp / 1000

        def tracker(health: Any) -> Any:
            return next(role for role in health["roles"] if role["name"] == "tracker")

        late = tracker(await running.until("/api/health", lambda h: tracker(h)["level"] != "ok"
                                           and tracker(h)["members"]
                                           and tracker(h)["lag_seconds"] is not None))  # fmt: skip
        assert (late["members"], late["lag"], late["read"]) == (1, 2, 1)
        seen = time.time()
        assert written + late["lag_seconds"] <= seen
        assert late["lag_seconds"] > cluster.settings.stale_after
        assert "2 messages wait" in late["words"]
        await consumer.commit({place: 3})
        done = tracker(await running.until("/api/health", lambda h: tracker(h)["lag"] == 0))
        assert (done["level"], done["words"], done["lag_seconds"]) == ("ok", "up to date", 0.0)
        assert done["last_progress_wall"] >= late["last_progress_wall"]


async def test_a_port_that_is_taken(cluster: Cluster) -> None:
    with bind(Settings(http_port=0)) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        settings = dataclasses.replace(cluster.settings, http_port=port)
        with pytest.raises(ListenError, match=f"port {port} .*http_port"):
            bind(settings)
        assert with_free_port(settings).http_port not in (0, port)


async def test_what_roles_noticed_and_what_lies_in_two_partitions_is_told(running: Running) -> None:
    cluster, now = running.cluster, time.time()
    found = RoleNotice(
        "tracker", "0", "records_lost", SOCIAL_EVENTS.name, 2, 120, now - 9, now,
        "0 to 119 were gone.",
    )  # fmt: skip
    await cluster.publish(ROLE_NOTICES, [("k", ROLE_NOTICES.codec.encode(found))])
    await running.until("/api/health", lambda health: len(health["noticed"]) == 1)
    async with AIOKafkaProducer(bootstrap_servers=cluster.settings.kafka) as producer:
        for topic, name, record in (
            (CASCADE_SNAPSHOTS, b"both", snapshot("both")),
            (EDGE_WINDOWS, b"lyon", EdgeWindow("lyon", 0.0, 300.0, 0, 1, [], b"", b"", b"")),
        ):
            for partition in (0, 3):
                value = topic.codec.encode(record)
                await producer.send_and_wait(topic.name, value, name, partition)
    health = await running.until("/api/health", lambda health: len(health["noticed"]) == 3)
    assert health["level"] == "warning"
    told = {(row["role"], row["kind"], row["topic"]): row for row in health["noticed"]}
    assert told["tracker", "records_lost", "social.events"]["partitions"] == [2]
    assert told["tracker", "records_lost", "social.events"]["count"] == 120
    assert {key for key in told if key[0] == "gateway"} == {
        ("gateway", "scattered", "social.events"), ("gateway", "scattered", "edge.requests"),
    }  # fmt: skip
    words = " ".join(note["text"] + note["to_do"] for note in health["notes"])
    assert "0 to 119 were gone." in words and KINDS["records_lost"].to_do in words
    assert "The edge 'lyon' lies in partition" in words


async def test_its_page_is_there_before_the_broker_and_fills_once_that_is(tmp_path: Path) -> None:
    kafka, http = free_port(), free_port()
    settings = Settings(
        kafka=f"127.0.0.1:{kafka}", http_port=http, status_dir=str(tmp_path / "starting")
    )
    cluster = Cluster(settings, tmp_path)
    starting.Teller(tmp_path / "starting", "ranker").tell("importing")
    try:
        process = cluster.start("gateway")
        async with httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{http}", timeout=PATIENCE
        ) as asks:
            running = Running(cluster, asks, process)
            health = await running.until("/api/health", lambda health: True)
            assert "waits for the broker" in health["notes"][0]["text"]
            assert {one["name"]: one["words"] for one in health["starting"]} == {
                "gateway": "waiting for the broker", "ranker": "importing",
            }  # fmt: skip
            assert "app.js" in (await asks.get("/")).text
            assert (await asks.get("/api/ready")).status_code == 503
            with BROKERS.own(tmp_path / "broker", kafka):
                await create_topics(settings)
                await running.until("/api/ready", lambda told: told["ready"])
                starting.Teller(tmp_path / "starting", "ranker").tell("joined", ready=True)
                await running.until("/api/health", lambda health: health["starting"] == [])
                cluster.stop(process)
    finally:
        cluster.close()
