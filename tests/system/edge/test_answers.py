"""What clients get of nginx and Varnish, with the configurations that ship, is what they asked for.

One set of cases for both servers: what a shared cache owes to HTTP (RFC 9110, RFC 9111) whatever is
decided, here without decisions.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from stream.http.listening import free_port
from tests.system.edge.http import Reply, ask, at_once
from tests.system.edge.origin import SIZE, TAG, Answer, TellingOrigin
from tests.system.edge.servers import NGINX, VARNISH, EdgeServer, Nginx, Varnish

pytestmark = [
    pytest.mark.embedded,
    pytest.mark.system,
    pytest.mark.skipif(
        NGINX is None or VARNISH is None,
        reason="nginx with Lua, or Varnish, is missing; `make packages` installs them",
    ),
]
MIB = 1 << 20
FORGED = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "666",
    "Forwarded": "host=evil.example;proto=https",
}
UNSTORABLE = {
    "private": Answer(headers={"Cache-Control": "private, max-age=60"}),
    "no-store": Answer(headers={"Cache-Control": "No-Store"}),
    "no-cache": Answer(headers={"Cache-Control": "no-cache"}),
    "zero": Answer(headers={"Cache-Control": "max-age=0"}),
    "shared-zero": Answer(headers={"Cache-Control": "max-age=60, s-maxage=0"}),
    "cookie": Answer(headers={"Set-Cookie": "id=1", "Cache-Control": "max-age=60"}),
    "vary": Answer(headers={"Vary": "*"}),
    "past": Answer(headers={"Expires": "Thu, 01 Jan 1970 00:00:01 GMT"}),
    "never": Answer(headers={"Expires": "0"}),
    "forbidden": Answer(403),
    "broken": Answer(500),
}
STORABLE = {
    "plain": Answer(),
    "public": Answer(headers={"Cache-Control": "public, max-age=60"}),
    "shared": Answer(headers={"Cache-Control": "max-age=0, s-maxage=60"}),
    "later": Answer(headers={"Expires": "Fri, 01 Jan 2100 00:00:00 GMT"}),
    "control": Answer(headers={"Cache-Control": "max-age=60", "Expires": "0"}),
    "missing": Answer(404, {"Cache-Control": "max-age=60"}),
    "moved": Answer(301, {"Location": "/elsewhere"}),
    "vary": Answer(headers={"Vary": "Accept-Language"}),
}


@pytest.fixture(scope="module")
def asked_origin() -> Iterator[TellingOrigin]:
    with closing(TellingOrigin()) as origin:
        yield origin


@pytest.fixture(scope="module", params=["nginx", "varnish"])
def server(
    request: pytest.FixtureRequest,
    asked_origin: TellingOrigin,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[EdgeServer]:
    """One that has no agent."""
    folder = tmp_path_factory.mktemp("edge")
    server: EdgeServer = (
        Nginx(folder / "server", asked_origin, folder / "no.sock")
        if request.param == "nginx"
        else Varnish(folder / "server", asked_origin, free_port(), free_port(), 20 * MIB, MIB)
    )
    with closing(server):
        yield server


@pytest.fixture
def origin(asked_origin: TellingOrigin) -> TellingOrigin:
    """The server's, as if it had not been asked yet."""
    asked_origin.forget()
    return asked_origin


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    """A target that no other test asks for."""
    return "/" + "".join(sign if sign.isalnum() else "-" for sign in request.node.name)


def page(host: str, target: str, scheme: str = "http") -> bytes:
    return f"{scheme} {host} {target} ".encode().ljust(SIZE, b"x")


def test_each_host_is_answered_with_its_own(
    server: EdgeServer, origin: TellingOrigin, path: str
) -> None:
    for host in ("a.example", "b.example", "a.example"):
        assert ask(server, path, host=host).body == page(host, path)
    assert len(origin.of(path)) == 2
    # The name is the same however it is written, and wherever in the request it stands.
    assert ask(server, path, host="A.Example").body == page("a.example", path)
    assert ask(server, "http://b.example" + path, host="a.example").body == page("b.example", path)
    assert len(origin.of(path)) == 2


def test_what_the_origin_may_answer_by_is_not_the_clients_to_say(
    server: EdgeServer, origin: TellingOrigin, path: str
) -> None:
    ask(server, path, host="a.example", headers=FORGED)
    assert not {name.lower() for name in FORGED} & origin.asked[0].headers.keys()
    # The scheme is believed of who ends TLS before Varnish; it is in the name.
    ask(server, path + "/w", host="a.example", headers={"X-Forwarded-Proto": "https"})
    assert ask(server, path + "/w", host="a.example").body == page("a.example", path + "/w")
    ask(server, path + "/x", host="a.example", headers={"X-Forwarded-Proto": "gopher"})
    assert ask(server, path + "/x", host="a.example").body == page("a.example", path + "/x")
    assert len(origin.of(path + "/x")) == 1


@pytest.mark.parametrize("target", ["/a%2Fb?q=%20", "/a/b?q=%20", "//a/b", "/a/./b/../c", "/%61"])
def test_a_target_reaches_the_origin_as_it_was_sent(
    server: EdgeServer, origin: TellingOrigin, target: str
) -> None:
    for _ in range(2):
        assert ask(server, target, host="a.example").body == page("a.example", target)
    assert [asked.target for asked in origin.asked] == [target]


def test_queries_are_told_apart(server: EdgeServer, origin: TellingOrigin, path: str) -> None:
    targets = [path + query for query in ("", "?", "?a=1", "?a=2", "?a=1&b=2", "?b=2&a=1")]
    for target in targets * 2:
        assert ask(server, target, host="a.example").body == page("a.example", target)
    assert [asked.target for asked in origin.asked] == targets


@pytest.mark.parametrize("headers", [{"Authorization": "Basic YTpi"}, {"Cookie": "id=1"}])
def test_what_may_be_for_one_client_alone_is_neither_stored_nor_answered_from_the_cache(
    server: EdgeServer, origin: TellingOrigin, path: str, headers: dict[str, str]
) -> None:
    for _ in range(2):
        assert ask(server, path, headers=headers).status == 200
    assert len(origin.of(path)) == 2
    ask(server, path)
    assert len(origin.of(path)) == 3, "what was for one client was given to another"
    ask(server, path, headers=headers)
    assert len(origin.of(path)) == 4


def test_an_answer_to_a_body_is_not_given_to_who_sent_none(
    server: EdgeServer, origin: TellingOrigin, path: str
) -> None:
    ask(server, path, body=b"a=1")
    ask(server, path)
    # Varnish sends no body along with a GET, so what it stores is no answer to one.
    assert origin.asked[-1].headers.get("content-length", "0") == "0"


def test_only_get_and_head_are_answered_from_the_cache(
    server: EdgeServer, origin: TellingOrigin, path: str
) -> None:
    for method in ("POST", "PUT", "POST"):
        assert ask(server, path, method=method, body=b"a=1").status == 200
    assert [asked.method for asked in origin.asked] == ["POST", "PUT", "POST"]
    ask(server, path)
    head = ask(server, path, method="HEAD")
    assert (head.status, head.headers["Content-Length"], head.body) == (200, str(SIZE), b"")
    assert [asked.method for asked in origin.asked[3:]] == ["GET"]


def test_variants_are_told_apart(server: EdgeServer, origin: TellingOrigin, path: str) -> None:
    origin.answers[path] = STORABLE["vary"]
    for language in ("de", "fr", "de", "fr"):
        ask(server, path, headers={"Accept-Language": language})
    assert [asked.headers["accept-language"] for asked in origin.asked] == ["de", "fr"]


def test_parts_are_never_given_for_the_whole(
    server: EdgeServer, origin: TellingOrigin, path: str
) -> None:
    def whole(answer: Reply) -> bool:
        return (answer.status, len(answer.body)) == (200, SIZE)

    for number, (method, headers) in enumerate(
        [("HEAD", {}), ("GET", {"Range": "bytes=10-19"}), ("GET", {"If-None-Match": TAG})]
    ):
        target = f"{path}/{number}"
        for _ in range(2):
            part = ask(server, target, method=method, headers=headers)
            assert part.status == {"Range": 206, "If-None-Match": 304}.get(
                next(iter(headers), ""), 200
            )
            assert part.body == (page(part.host, target)[10:20] if "Range" in headers else b"")
        assert whole(ask(server, target))
        assert len(origin.of(target)) == 1
    # Nor by an origin that takes no notice of what it was asked.
    origin.answers[path + "/odd"] = Answer(206, {"Content-Range": f"bytes 0-{SIZE - 1}/{2 * SIZE}"})
    ask(server, path + "/odd")
    del origin.answers[path + "/odd"]
    assert whole(ask(server, path + "/odd"))


@pytest.mark.parametrize(
    ("headers", "status"), [({"If-None-Match": TAG}, 304), ({"Range": "bytes=0-9"}, 206)]
)
def test_what_one_client_did_not_need_whole_is_stored_while_others_ask(
    server: EdgeServer, origin: TellingOrigin, path: str, headers: dict[str, str], status: int
) -> None:
    # The first is answered by headers alone; the next ask before there is anything in the store.
    origin.answers[path] = Answer(pause=0.5)
    for _ in range(2):
        assert ask(server, path, headers=headers).status == status
    assert ask(server, path).body == page("www.example", path)
    assert len(origin.of(path)) == 1


@pytest.mark.parametrize("name", UNSTORABLE)
def test_what_may_not_be_stored_is_not_and_nobody_queues_for_it(
    server: EdgeServer, origin: TellingOrigin, path: str, name: str
) -> None:
    origin.answers[path] = answer = UNSTORABLE[name]._replace(delay=0.2)
    at_once(server.port, path, 8, answer.status)
    assert len(origin.of(path)) == 8
    assert origin.most_at_once >= 6, "they went one after the other"


@pytest.mark.parametrize("name", STORABLE)
def test_what_may_be_stored_is_fetched_once_by_many(
    server: EdgeServer, origin: TellingOrigin, path: str, name: str
) -> None:
    origin.answers[path] = answer = STORABLE[name]._replace(delay=0.2)
    at_once(server.port, path, 8, answer.status)
    assert len(origin.of(path)) == 1


def test_what_a_store_has_no_room_for_comes_whole(
    server: EdgeServer, origin: TellingOrigin, path: str
) -> None:
    origin.answers[path] = Answer(size=24 * MIB)
    for _ in range(2):
        assert len(ask(server, path).body) == 24 * MIB


def test_what_must_be_revalidated_is_not_served_without_the_origin(
    server: EdgeServer, origin: TellingOrigin, path: str
) -> None:
    for name in ("must-revalidate", "proxy-revalidate"):
        origin.answers[f"/{name}"] = Answer(headers={"Cache-Control": f"max-age=1, {name}"})
        assert ask(server, f"/{name}").status == 200
    origin.answers[path] = Answer(headers={"Cache-Control": "max-age=1"})
    assert ask(server, path).status == 200
    for name in origin.answers:
        origin.answers[name] = Answer(503)
    time.sleep(3)  # until none is fresh
    for name in ("/must-revalidate", "/proxy-revalidate"):
        assert ask(server, name).status >= 500
    assert ask(server, path).status == 200
