"""The answers, held against the OpenAPI document; and what is refused, in words."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from starlette.testclient import TestClient

from stream.gateway import openapi
from stream.gateway.api import ENDPOINTS
from stream.gateway.guard import HEADERS
from stream.gateway.server import application
from stream.secret import Secret
from tests.stream.gateway.conftest import Parts, fill, outcome
from topics.catalogue import CASCADE_OUTCOMES

DOCUMENT = json.loads(json.dumps(openapi.document(importlib.metadata.version("tidecast"))))
TOKEN = "planted-token-0123456789abcdef"
ASKED = {
    "/api/cascades": ("/api/cascades", "/api/cascades?sort=count&state=all&q=C&limit=1&offset=1"),
    "/api/cascades/{cascade_id}": ("/api/cascades/c/1", "/api/cascades/d?nodes=2"),
    "/api/due": ("/api/due?limit=5",),
    "/api/edges": ("/api/edges?limit=2&offset=0",),
    "/api/edges/{edge_id}": ("/api/edges/edge-0?q=a&limit=1",),
    "/api/models": ("/api/models",),
    "/api/health": ("/api/health",),
    "/api/ready": ("/api/ready",),
}


def client(parts: Parts) -> TestClient:
    app = application(parts.settings, parts.api, parts.registry)
    return TestClient(app, base_url="http://127.0.0.1")


@pytest.fixture
def filled(parts: Parts) -> Iterator[TestClient]:
    with client(fill(parts)) as ready:
        yield ready


def check(answer: Any, path: str, status: str) -> None:
    """Holds an answer against what the document says of that path and status."""
    content = DOCUMENT["paths"][path]["get"]["responses"][status]["content"]
    media = answer.headers["content-type"]
    schema = {**content[media]["schema"], "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer.json())


@pytest.mark.parametrize("path", ASKED)
def test_answers_are_as_the_document_says(path: str, filled: TestClient) -> None:
    for question in ASKED[path]:
        answer = filled.get(question)
        assert answer.status_code == 200, answer.text
        check(answer, path, "200")
        assert answer.headers["cache-control"] == "no-store"
        assert filled.head(question).status_code == 200


@pytest.mark.parametrize("path", ASKED)
def test_empty_answers_are_too(path: str, parts: Parts) -> None:
    with client(parts) as empty:
        answer = empty.get(ASKED[path][0])
        check(answer, path, str(answer.status_code))
        assert answer.status_code == (404 if "{" in path else 200)


def test_the_document_says_all_that_is_served(filled: TestClient) -> None:
    assert filled.get("/api/openapi.json").json() == DOCUMENT
    assert set(DOCUMENT["paths"]) == {endpoint.path for endpoint in ENDPOINTS}
    assert set(ASKED) == set(DOCUMENT["paths"]) - {"/api/stream"}
    text = json.dumps(DOCUMENT)
    for name in DOCUMENT["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text, f"{name} is described and not used"


def test_what_the_answers_say(filled: TestClient) -> None:
    page = filled.get("/api/cascades?state=all").json()
    assert [row["cascade_id"] for row in page["items"]] == ["d", "c/1"]
    assert (page["total"], page["kept"]) == (2, 2)
    cascade = filled.get("/api/cascades/c/1").json()
    assert [one["age"] for one in cascade["forecasts"]] == [300.0, 900.0]
    assert [node["parent"] for node in cascade["graph"]["nodes"]] == [None, 0, 1]
    due = filled.get("/api/due").json()
    assert (due["total"], due["inside"], due["items"][0]["realised"]) == (1, 1, 120)
    edge = filled.get("/api/edges/edge-0").json()
    assert [one["object_id"] for one in edge["decisions"]] == ["/a"]
    assert edge["decisions"][0]["reason"] == "expected 3 requests"
    (model,) = filled.get("/api/models").json()["items"]
    assert (model["forecasts"], model["quality"][0]["coverage"]) == (3, 0.5)


def test_where_nothing_is_live_what_was_forecast_last_is_shown_and_called_an_archive(
    parts: Parts,
) -> None:
    with client(fill(parts)) as asks:
        page = asks.get("/api/cascades").json()
        assert not page["archive"]
        assert [row["cascade_id"] for row in page["items"]] == ["d", "c/1"], "by growth"
        assert not asks.get("/api/health").json()["archive"]
    parts = fill(Parts())
    parts.take(CASCADE_OUTCOMES, outcome("d", age=14_400.0, final=True))
    parts.take(CASCADE_OUTCOMES, outcome("c/1", age=14_399.0), outcome("c/1", 14_400.0, final=True))
    with client(parts) as asks:
        for question in ("/api/cascades", "/api/cascades?q=1&sort=growth"):
            answer = asks.get(question)
            check(answer, "/api/cascades", "200")
            assert answer.json()["archive"], question
            row = next(one for one in answer.json()["items"] if one["cascade_id"] == "c/1")
            assert row["horizons"][-1]["horizon"] == row["outcomes"][-1]["age"] == 14_400.0
        live = asks.get("/api/cascades?state=live").json()
        assert (live["items"], live["archive"]) == ([], False), "who asks for live has no other"
        health = asks.get("/api/health").json()
        assert health["archive"] and health["cascades"] == 2


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("/api/cascades?limt=5", "unknown field `limt`; parameters of /api/cascades: sort"),
        ("/api/cascades?limit=0", "`int` >= 1 - at `$.limit`"),
        ("/api/cascades?limit=5000", "`int` <= 200"),
        ("/api/cascades?limit=x", "Expected `int`"),
        ("/api/cascades?sort=best", "Invalid enum value 'best' - at `$.sort`"),
        ("/api/cascades?limit=5&limit=6", "given twice"),
        ("/api/stream?events=forecast,rumours", "Invalid enum value 'rumours'"),
        ("/api/health?deep=1", "parameters of /api/health: none"),
    ],
)
def test_a_query_that_is_not_understood(question: str, told: str, filled: TestClient) -> None:
    answer = filled.get(question)
    assert answer.status_code == 400
    assert told in answer.json()["detail"]
    check(answer, question.partition("?")[0], "400")


def test_what_is_not_there(filled: TestClient) -> None:
    for question, told in (
        ("/api/cascades/nope", "no forecast of cascade 'nope' is held"),
        ("/api/edges/nope", "/api/edges lists those that are"),
        ("/api/nope", "/api/openapi.json lists what may be asked"),
        ("/static/../server.py", "lists what may be asked"),
        ("/static/%2e%2e/server.py", "lists what may be asked"),
    ):
        answer = filled.get(question)
        assert answer.status_code == 404, question
        assert told in answer.json()["detail"]


EVERY_PATH = ("/", "/static/app.js", "/api/openapi.json", "/api/stream",
              *(asked[0] for asked in ASKED.values()))  # fmt: skip


@pytest.mark.parametrize("path", EVERY_PATH)
def test_nothing_can_be_written(path: str, filled: TestClient) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"):
        for body in (b"", b"x"):
            answer = filled.request(method, path, content=body)
            assert answer.status_code == 405, method
            assert answer.headers["allow"] == "GET, HEAD"
            assert answer.headers["content-type"] == "application/problem+json"
            assert "takes GET, HEAD" in answer.json()["detail"]
    unknown = filled.request("BREW", path)
    assert (unknown.status_code, unknown.json()["status"]) == (501, 501)


@pytest.mark.parametrize("path", [path for path in EVERY_PATH if path != "/api/stream"])
def test_head_is_get_without_its_body(path: str, filled: TestClient) -> None:
    plain = {"accept-encoding": "identity"}
    got, head = filled.get(path, headers=plain), filled.head(path, headers=plain)
    assert (head.status_code, head.content) == (got.status_code, b"")
    for name in ("content-type", "content-length", "cache-control"):
        assert head.headers[name] == got.headers[name]


def test_what_is_not_there_is_not_there_by_any_method(filled: TestClient) -> None:
    for method in ("GET", "HEAD", "POST", "OPTIONS"):
        assert filled.request(method, "/api/nope").status_code == 404


def test_what_is_too_much_is_refused(filled: TestClient) -> None:
    assert filled.request("GET", "/api/cascades", content=b"x").status_code == 413
    assert filled.get(f"/api/cascades?q={'x' * 3_000}").status_code == 414


def test_every_answer_carries_the_headers(filled: TestClient) -> None:
    for question in ("/", "/api/health", "/api/nope", "/api/cascades?limit=x", "/static/nope"):
        answer = filled.get(question)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS, question
        assert "access-control-allow-origin" not in answer.headers


def test_another_name_for_this_machine_is_refused(filled: TestClient) -> None:
    """Or a page of another site could read a gateway on loopback by rebinding its own name."""
    assert filled.get("/api/health", headers={"host": "evil.example"}).status_code == 400
    assert filled.get("/api/health", headers={"host": "localhost:8080"}).status_code == 200


def test_while_it_reads_it_says_when_to_ask_again() -> None:
    with client(Parts(loaded=0.5)) as reading:
        answer = reading.get("/api/ready")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_with_a_token_what_tells_of_the_stream_needs_it() -> None:
    parts = fill(Parts(http_token=Secret(TOKEN)))
    with client(parts) as guarded:
        for path, (question, *_) in ASKED.items():
            answer = guarded.get(question)
            assert answer.status_code == (200 if path == "/api/ready" else 401), path
            if path != "/api/ready":
                assert answer.headers["www-authenticate"] == "Bearer"
                check(answer, path, "401")
                shown = guarded.get(question, headers={"authorization": f"Bearer {TOKEN}"})
                assert shown.status_code == 200
        assert guarded.get("/api/stream").status_code == 401
        assert guarded.get("/api/nope").status_code == 401
        for public in ("/", "/static/app.js", "/api/openapi.json"):
            assert guarded.get(public).status_code == 200, public
        assert guarded.get("/static/../api/cascades").status_code in (401, 404)


def test_other_sites_may_ask_nothing() -> None:
    with client(fill(Parts())) as asked:
        origin = {"origin": "https://evil.example"}
        preflight = {"access-control-request-method": "GET"}
        for answer in (
            asked.get("/api/cascades", headers=origin),
            asked.options("/api/cascades", headers=origin | preflight),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control-")]
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_an_address_that_asks_too_often_is_told_when_to_come_back() -> None:
    parts = Parts(http_rate=0.25)  # a burst of one
    with client(parts) as hasty:
        assert hasty.get("/api/ready").status_code == 200
        answer = hasty.get("/api/ready")
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 4
        check(answer, "/api/ready", "429")


def test_until_all_is_read_it_is_not_ready() -> None:
    parts = Parts(loaded=0.42)
    with client(parts) as early:
        answer = early.get("/api/ready")
        assert answer.status_code == 503
        assert "42%" in answer.json()["detail"]
        check(answer, "/api/ready", "503")
        assert early.get("/api/health").json()["ready"] is False


def test_a_stream_too_many() -> None:
    parts = Parts(http_streams=1)
    parts.live._listeners.add(object())  # type: ignore[arg-type]
    with client(parts) as late:
        answer = late.get("/api/stream")
        assert answer.status_code == 503
        check(answer, "/api/stream", "503")
