"""nginx and Varnish, with the configurations that ship, while they obey a real agent.

One set of cases for both servers: what decisions make a difference to, and what they do not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stream.http.listening import free_port
from tests.patience import PATIENCE, until
from tests.stream.edge.records import decision
from tests.system.edge.http import ask, at_once
from tests.system.edge.origin import SIZE, TAG, Answer, TellingOrigin
from tests.system.edge.replay import Edge
from tests.system.edge.servers import NGINX, VARNISH, EdgeServer, Nginx, Varnish
from tests.system.edge.traffic import EDGE
from topics.catalogue import EDGE_REQUESTS

pytestmark = [
    pytest.mark.embedded,
    pytest.mark.system,
    pytest.mark.skipif(
        NGINX is None or VARNISH is None,
        reason="nginx with Lua, or Varnish, is missing; `make packages` installs them",
    ),
]
MIB = 1 << 20
SIGNED = "/signed?" + "s" * 2_040
# The line that is marked in each configuration, where a cache serves several sites.
SITES: dict[str, Mapping[str, str]] = {
    "nginx": {"default $request_uri;": "default $host$request_uri;"},
    "varnish": {
        "X-Tidecast-Object = req.url": 'X-Tidecast-Object = regsub(req.http.Host, ":[0-9]+$", "")'
        " + req.url"
    },
}


@pytest.fixture
def origin() -> Iterator[TellingOrigin]:
    with closing(TellingOrigin()) as origin:
        yield origin


class Place:
    """A server, its origin and its agent."""

    def __init__(self, kind: str, cluster: Any, origin: TellingOrigin, folder: Path) -> None:
        self.kind = kind
        self.origin = origin
        self._folder = folder
        self._listener = free_port()
        varnish = f"http://127.0.0.1:{self._listener}" if kind == "varnish" else ""
        # A busy machine's agent may be silent for a while, and is obeyed all the same.
        self.edge = Edge(
            cluster, folder / "edge.sock", edge_varnish=varnish, edge_burst=0.0, edge_lease=PATIENCE
        )

    def server(self, changes: Mapping[str, str] | None = None) -> EdgeServer:
        folder, port = self._folder / "server", self.edge.cluster.settings.edge_port
        if self.kind == "nginx":
            return Nginx(folder, self.origin, self.edge.socket, changes)
        return Varnish(folder, self.origin, port, self._listener, 20 * MIB, MIB, changes)


@pytest.fixture(params=["nginx", "varnish"])
def place(
    request: pytest.FixtureRequest, cluster: Any, origin: TellingOrigin, tmp_path: Path
) -> Place:
    return Place(request.param, cluster, origin, tmp_path)


async def test_what_is_asked_of_the_origin_is_what_is_stored_or_no_more_than_the_client_wants(
    place: Place,
) -> None:
    place.edge.start()
    origin = place.origin
    with closing(place.server()) as server:
        await place.edge.told(
            server, *(decision(name, edge=EDGE) for name in ("/kept", "/private", SIGNED))
        )
        for target, method, headers, status, sent in (
            ("/range", "GET", {"Range": "bytes=0-99"}, 206, 100),
            ("/head", "HEAD", {}, 200, 0),
            ("/compared", "GET", {"If-None-Match": TAG}, 304, 0),
        ):
            for _ in range(3):
                answer = await asyncio.to_thread(
                    ask, server, target, method=method, headers=headers
                )
                assert answer.status == status
            assert [asked.sent for asked in origin.of(target)] == [sent] * 3

        origin.answers["/large"] = Answer(size=2 * MIB)  # twice what Varnish has for newcomers
        assert len((await asyncio.to_thread(ask, server, "/large")).body) == 2 * MIB

        # What is admitted is fetched whole, once, whatever was asked for, by a long name too.
        for target in ("/kept", SIGNED):
            for headers in ({"Range": "bytes=0-99"}, {}, {"If-None-Match": TAG}):
                await asyncio.to_thread(ask, server, target, headers=headers)
            assert [asked.sent for asked in origin.of(target)] == [SIZE]

        origin.answers["/private"] = Answer(headers={"Cache-Control": "private"}, delay=0.2)
        origin.most_at_once = 0
        await asyncio.to_thread(at_once, server.port, "/private", 8)
        assert len(origin.of("/private")) == 8 and origin.most_at_once >= 6


async def test_what_is_stored_is_found_again_without_an_agent(place: Place) -> None:
    agent = place.edge.start(edge_lease=2.0)
    with closing(place.server()) as server:
        await place.edge.told(server, decision("/kept", edge=EDGE))
        for _ in range(2):
            assert (await asyncio.to_thread(ask, server, "/kept")).status == 200
        place.edge.cluster.kill(agent)
        await until(lambda: not server.obeys(), "the server to do without")
        await asyncio.to_thread(ask, server, "/kept")
        await asyncio.to_thread(ask, server, "/other")
        place.edge.start()
        await place.edge.told(server, decision("/new", edge=EDGE))
        for target in ("/kept", "/other"):
            await asyncio.to_thread(ask, server, target)
        assert [asked.target for asked in place.origin.asked] == ["/kept", "/other"]


async def test_with_several_sites_a_decision_is_about_the_object_of_one(place: Place) -> None:
    with closing(place.server(SITES[place.kind])) as server:
        place.edge.start(edge_server=f"http://127.0.0.1:{server.port}", edge_prefetch_rate=20.0)
        await place.edge.told(
            server,
            decision("a.example/v", edge=EDGE),
            decision("b.example/ahead", verdict="prefetch", edge=EDGE),
        )
        await until(lambda: place.origin.asked, "the prefetch")
        assert place.origin.asked[0].headers["host"] == "b.example"
        for host in ("a.example", "b.example:80") * 2:
            await asyncio.to_thread(ask, server, "/v", host=host, method="HEAD")
        of_a, *of_b = place.origin.of("/v")
        assert (of_a.headers["host"], of_a.method) == ("a.example", "GET")
        assert [asked.method for asked in of_b] == ["HEAD", "HEAD"]
        await asyncio.to_thread(ask, server, "/ahead", host="b.example")
        assert len(place.origin.of("/ahead")) == 1


async def test_a_prefetch_is_stored_where_the_clients_of_the_site_find_it(place: Place) -> None:
    with closing(place.server()) as server:
        place.edge.start(
            edge_server=f"http://127.0.0.1:{server.port}", edge_site="www.example",
            edge_prefetch_rate=20.0,
        )  # fmt: skip
        await place.edge.told(server, decision("/ahead", verdict="prefetch", edge=EDGE))
        await until(lambda: place.origin.asked, "the prefetch")
        await asyncio.to_thread(ask, server, "/ahead", host="www.example")
        assert len(place.origin.asked) == 1


@pytest.mark.parametrize("kind", ["nginx", "varnish"])
def test_the_log_has_what_a_cache_can_spare_the_origin_and_sizes_of_whole_objects(
    origin: TellingOrigin, tmp_path: Path, kind: str
) -> None:
    server: Nginx | Varnish = (
        Nginx(tmp_path / "server", origin, tmp_path / "no.sock")
        if kind == "nginx"
        else Varnish(tmp_path / "server", origin, free_port(), free_port(), 20 * MIB, MIB)
    )
    origin.answers |= {
        "/missing": Answer(404),
        "/private": Answer(headers={"Cache-Control": "private"}),
        "/cookie": Answer(headers={"Set-Cookie": "id=1"}),
    }
    odd = '/v/"17".mp4?hd=1&t=%20b\\'
    with closing(server):
        for target in ("/missing", "/private", "/cookie", "/" + "s" * 2_048):
            ask(server, target)
        ask(server, "/v", method="POST", body=b"a=1")
        ask(server, "/v", headers={"Cookie": "id=1"})
        server.send(b"BAD\r\n\r\n")
        ask(server, odd, headers={"Range": "bytes=0-9"})
        for target in (odd, SIGNED, SIGNED):
            ask(server, target)
        ask(server, SIGNED, method="HEAD")
        ask(server, SIGNED, headers={"If-None-Match": TAG})
        lines = server.logged(6)
    records = [EDGE_REQUESTS.codec.decode(line) for line in lines]
    assert [(r.object_id, r.hit) for r in sorted(records, key=lambda r: r.timestamp)] == [
        (odd, False), (odd, True), (SIGNED, False), *[(SIGNED, True)] * 3,
    ]  # fmt: skip
    assert {r.size for r in records} <= {SIZE, None}
    assert {r.object_id for r in records if r.size} == {odd, SIGNED}
