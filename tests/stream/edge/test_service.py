"""What the agent answers, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from stream.edge import metrics as metrics_module
from stream.edge import service as service_module
from stream.edge.agent import serve, tcp_socket, unix_socket
from stream.edge.metrics import Metrics
from stream.edge.news import News
from stream.edge.service import Service
from stream.edge.table import EdgeTable
from stream.http.access import HEADERS, AccessError
from stream.secret import Secret
from stream.settings import Settings
from tests.clock import Clock
from tests.patience import until
from tests.stream.edge.records import decision, epoch

SETTINGS = Settings(edge="lyon", edge_clients=4, edge_changes=3)
VIDEO = "/v/17.mp4?hd=1&t=a b"


class Agent:
    """A table that is served on a Unix socket, and a client there."""

    def __init__(self, service: Service, news: News, client: aiohttp.ClientSession) -> None:
        self.service = service
        self.table = service._table
        self.news = news
        self.client = client

    async def answering(self, count: int) -> None:
        """Returns once so many requests have come in and not been answered."""
        await until(lambda: self.service._answering == count, f"{count} requests")

    async def get(self, path: str, **parameters: str) -> Any:
        async with self.client.get(f"http://agent{path}", params=parameters) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


@pytest.fixture
async def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Agent]:
    clock = Clock().read_by(monkeypatch, service_module, metrics_module)
    table, news = EdgeTable(SETTINGS, life="a"), News()
    table.complete = True
    table.close(epoch(0, clock.now), clock.now)
    service = Service(SETTINGS, table, Metrics(CollectorRegistry(), table), news, None)
    runner = web.AppRunner(service.application(), access_log=None)
    await runner.setup()
    path = tmp_path / "edge.sock"
    await web.SockSite(runner, unix_socket(path, 0o660)).start()
    connector = aiohttp.UnixConnector(str(path))
    async with aiohttp.ClientSession(connector=connector) as client:
        yield Agent(service, news, client)
    await runner.cleanup()


async def test_other_machines_need_the_token_and_the_socket_its_permissions(tmp_path: Path) -> None:
    token = "planted-token-0123456789abcdef"
    with pytest.raises(AccessError, match=r"edge_host: 0\.0\.0\.0"):
        await serve(SETTINGS.having(edge_host="0.0.0.0"))
    settings = SETTINGS.having(edge_host="0.0.0.0", http_token=Secret(token))
    table = EdgeTable(settings, life="a")
    service = Service(settings, table, Metrics(CollectorRegistry(), table), News(), None)
    runner = web.AppRunner(service.application(), access_log=None)
    await runner.setup()
    listener, path = tcp_socket("127.0.0.1", 0), tmp_path / "edge.sock"
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/status"
    await web.SockSite(runner, listener).start()
    await web.SockSite(runner, unix_socket(path, 0o660)).start()
    async with aiohttp.ClientSession() as client:
        async with client.get(url, headers={"Origin": "https://evil.example"}) as answer:
            assert answer.status == 401 and answer.headers["www-authenticate"] == "Bearer"
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS
            assert "access-control-allow-origin" not in answer.headers
        async with client.get(url, headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.status == 200
    local = aiohttp.UnixConnector(str(path))
    async with (
        aiohttp.ClientSession(connector=local) as client,
        client.get("http://a/status") as it,
    ):
        assert it.status == 200
    await runner.cleanup()


async def test_on_loopback_the_port_answers_under_our_names_alone() -> None:
    table = EdgeTable(SETTINGS, life="a")
    service = Service(SETTINGS, table, Metrics(CollectorRegistry(), table), News(), None)
    runner = web.AppRunner(service.application(), access_log=None)
    await runner.setup()
    listener = tcp_socket("127.0.0.1", 0)
    await web.SockSite(runner, listener).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/status"
    async with aiohttp.ClientSession() as client:
        for host, status in (("evil.example", 400), ("localhost:9180", 200)):
            async with client.get(url, headers={"Host": host}) as answer:
                assert answer.status == status
    await runner.cleanup()


async def test_one_object_is_looked_up(agent: Agent) -> None:
    advice = await agent.get("/decision", object=VIDEO)
    assert advice == {"object": VIDEO, "store": True, "obeyed": False, "verdict": None}
    agent.table.decide(decision(VIDEO, expires_at=460.0, score=1.5, verdict="prefetch"))
    advice = await agent.get("/decision", object=VIDEO)
    assert advice.pop("expires_in") == 400
    expected = {"store": True, "obeyed": True, "verdict": "prefetch", "score": 1.5}
    assert advice == {"object": VIDEO, **expected}
    assert not (await agent.get("/decision", object="/other"))["store"]


async def test_many_objects_are_looked_up_in_order(agent: Agent) -> None:
    agent.table.decide(decision("/a"))
    body = {"objects": ["/b", "/a", "/b"]}
    async with agent.client.post("http://agent/decisions", json=body) as answer:
        content = await answer.json()
    assert [one["object"] for one in content["decisions"]] == body["objects"]
    assert [one["store"] for one in content["decisions"]] == [False, True, False]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"not JSON", 400),
        (b'{"objects": [1]}', 400),
        (b'{"object": ["/a"]}', 400),
        (b'{"objects": ["/' + b"a" * (1 << 20) + b'"]}', 413),
        (b'{"objects": [' + b",".join([b'"/a"'] * 10_001) + b"]}", 413),
    ],
)
async def test_what_is_not_a_look_up_is_refused(agent: Agent, body: bytes, status: int) -> None:
    async with agent.client.post("http://agent/decisions", data=BytesIO(body)) as answer:
        assert answer.status == status


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/decision?object=a", "GET, HEAD"),
        ("/decisions", "POST"),
        ("/changes", "GET, HEAD"),
        ("/obeyed", "GET, HEAD"),
        ("/status", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
    ],
)
async def test_what_a_path_does_not_take_is_said_with_what_it_takes(
    agent: Agent, path: str, allowed: str
) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        if method in allowed:
            continue
        async with agent.client.request(method, f"http://agent{path}") as answer:
            assert (answer.status, answer.headers["allow"]) == (405, allowed), method
            assert answer.content_type == "application/problem+json"
            body = await answer.read()
            assert method == "HEAD" or json.loads(body)["status"] == 405
    if "HEAD" in allowed:
        async with (
            agent.client.get(f"http://agent{path}") as got,
            agent.client.head(f"http://agent{path}") as head,
        ):
            assert (head.status, await head.read()) == (got.status, b"")
            assert head.content_type == got.content_type


async def test_what_is_not_there_is_said(agent: Agent) -> None:
    async with agent.client.post("http://agent/nothing") as answer:
        assert answer.status == 404
        assert await answer.json(content_type="application/problem+json") == {
            "title": "nothing here", "status": 404, "detail": "got POST /nothing",
        }  # fmt: skip


@pytest.mark.parametrize("query", ["wait=soon", "wait=-1", "wait=nan", "wait=61"])
async def test_a_wait_that_is_not_allowed_is_refused(agent: Agent, query: str) -> None:
    async with agent.client.get(f"http://agent/changes?{query}") as answer:
        assert answer.status == 400 and "0 to 60" in await answer.text()


async def test_the_change_feed_pages_and_then_waits_for_what_comes(agent: Agent) -> None:
    for name in "abcd":
        agent.table.decide(decision(f"/{name}"))
    first = await agent.get("/changes")
    assert first["reset"] and first["more"] and first["obeyed"]
    second = await agent.get("/changes", since=first["cursor"], wait="30")
    assert not second["reset"] and not second["more"]
    told = [change[:2] for change in first["changes"] + second["changes"]]
    assert told == [[f"/{name}", "admit"] for name in "abcd"]

    waiting = asyncio.create_task(agent.get("/changes", since=second["cursor"], wait="30"))
    await agent.answering(1)
    assert not waiting.done()
    agent.table.withdraw("/b")
    agent.news.tell()
    third = await waiting
    assert third["changes"] == [["/b", None, 0.0, 0.0]]
    assert third["epoch"] == 0 and third["window"] == 60 and third["lease"] == 15


async def test_a_wait_ends_with_nothing_new_and_with_a_lease(agent: Agent) -> None:
    agent.table.decide(decision("/a"))
    cursor = (await agent.get("/changes"))["cursor"]
    again = await agent.get("/changes", since=cursor, wait="0")
    assert again["changes"] == [] and again["lease"] > 0 and again["cursor"] == cursor


async def test_who_waits_beyond_the_bound_is_refused_and_the_agent_goes_on(agent: Agent) -> None:
    cursor = (await agent.get("/changes"))["cursor"]
    waiting = [
        asyncio.create_task(agent.get("/changes", since=cursor, wait="30"))
        for _ in range(SETTINGS.edge_clients)
    ]
    await agent.answering(SETTINGS.edge_clients)
    async with agent.client.get("http://agent/status") as answer:
        assert answer.status == 503
    agent.table.decide(decision("/a"))
    agent.news.tell()
    await asyncio.gather(*waiting)
    assert (await agent.get("/status"))["decisions"] == 1


async def test_metrics_tell_the_staleness(agent: Agent) -> None:
    async with agent.client.get("http://agent/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    found = {sample.name: sample.value for family in families for sample in family.samples}
    assert found["tidecast_edge_agent_staleness_seconds"] == 0
    assert found["tidecast_edge_agent_obeying"] == 0
    async with agent.client.get("http://agent/obeyed") as answer:
        assert answer.status == 503
    agent.table.decide(decision("/a"))
    async with agent.client.get("http://agent/obeyed") as answer:
        assert answer.status == 200


async def test_it_is_asked_over_ipv6() -> None:
    settings = SETTINGS.having(edge_host="::1", edge_port=9180)
    table, registry, news = EdgeTable(settings, life="1"), CollectorRegistry(), News()
    service = Service(settings, table, Metrics(registry, table), news, None)
    runner = web.AppRunner(service.application(), access_log=None)
    await runner.setup()
    listener = tcp_socket(settings.edge_host, 0)
    await web.SockSite(runner, listener).start()
    url = f"http://[::1]:{listener.getsockname()[1]}/status"
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        assert (await answer.json())["edge"] == "lyon"
    await runner.cleanup()
