"""Formats: by name or file, with envelopes and parameters, for a message or a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream.settings import load
from stream.sources.formats.errors import FieldError, FormatError
from stream.sources.formats.format import chosen, depends_on, find, topics_of
from topics.catalogue import EDGE_REQUESTS, SOCIAL_EVENTS
from topics.records import EdgeRequest, SocialEvent

LINE = '192.0.2.7 - - [01/May/2026:12:00:00 +0000] "GET /a?utm_source=x HTTP/1.1" 200 612 "-" "-"'
REQUEST = EdgeRequest("fra-3", "/a", 1777636800.0, 612, None, "192.0.2.7")
EVENTS = """
[social.events]
where = [{ path = "type", not = "ping" }]
cascade_id = "post.id"
event_id = "id"
user_id = { from = ["user.id", "user"] }
timestamp = { from = "at", time = "milliseconds" }
kind = { from = "type", values = { boost = "share", note = "post" } }
parent_id = { from = "of", when = [{ path = "type", is = "boost" }] }
"""
EVENT = {
    "type": "boost", "id": 7, "post": {"id": "p1"}, "user": {"id": "u1"}, "at": "1777636800500",
    "of": 3,
}  # fmt: skip


def encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)


@pytest.fixture
def events(tmp_path: Path) -> str:
    (tmp_path / "mine.toml").write_text(EVENTS)
    return str(tmp_path / "mine.toml")


def test_fields_are_found_wherever_they_are(events: str) -> None:
    form = find(events, SOCIAL_EVENTS)
    share = SocialEvent("p1", "7", "u1", 1777636800.5, "share", "3")
    assert form.records(encoded(EVENT)) == [share]
    flat = EVENT | {"user": "u1", "type": "note"}
    [post] = form.records(encoded(flat))
    assert (post.user_id, post.kind, post.parent_id) == ("u1", "post", None)
    # What lists and objects are in the way of is not remembered, and is found all the same.
    for change, at in (({"user": [{"id": "u1"}]}, r"user_id: .* user\.id or user"),
                       ({"type": {"a": 1}}, "kind: .* type")):  # fmt: skip
        with pytest.raises(FieldError, match=at):
            form.records(encoded(EVENT | change))


def test_what_a_condition_excludes_is_passed_over(events: str) -> None:
    assert find(events, SOCIAL_EVENTS).records(b'{"type": "ping"}') == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "like"}, "kind: got 'like'; expected one of boost, note"),
        ({"at": "noon"}, "timestamp: got 'noon'; expected a time as a number"),
        ({"at": 1e16}, "timestamp: got .*; expected a number ≥ 0 and <"),
        ({"id": None}, "event_id: no text or number at id"),
        ({"id": "x" * 257}, "event_id: got 257 characters, .*; expected 1 to 256"),
    ],
)
def test_a_field_that_cannot_be_filled_is_named(
    events: str, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(FieldError, match=message):
        find(events, SOCIAL_EVENTS).records(encoded(EVENT | change))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nginx-combined?edge=fra-3", LINE.encode()),
        ("fluent-bit+nginx-combined?edge=fra-3", encoded({"@timestamp": 1.5, "log": LINE})),
        ("vector+nginx-combined", encoded({"host": "fra-3", "message": LINE + "\n"})),
        ("filebeat+nginx-combined", encoded({"host": {"name": "fra-3"}, "message": LINE})),
        (
            "connect+filebeat+nginx-combined",
            encoded({"schema": {}, "payload": {"host": {"name": "fra-3"}, "message": LINE}}),
        ),
        ("debezium+native", encoded({"op": "c", "before": None, "after": REQUEST})),
        ("debezium+native", encoded({"schema": {}, "payload": {"op": "r", "after": REQUEST}})),
        ("connect+native", encoded({"schema": {}, "payload": REQUEST})),
        (
            "cloudevents+native",
            encoded({"specversion": "1.0", "id": "1", "source": "/", "type": "a", "data": REQUEST}),
        ),
        ("confluent+native", b"\0\0\0\0\7" + encoded(REQUEST)),
        ("confluent+debezium+native", b"\0\0\0\0\7" + encoded({"op": "u", "after": REQUEST})),
    ],
)  # fmt: skip
def test_envelopes_are_taken_off_one_in_the_other(name: str, message: bytes) -> None:
    assert find(name, EDGE_REQUESTS).records(message) == [REQUEST]


@pytest.mark.parametrize("message", [None, encoded({"op": "d", "before": {}, "after": None})])
def test_a_row_that_is_deleted_is_no_record(message: bytes | None) -> None:
    assert find("debezium+native", EDGE_REQUESTS).records(message) == []


def test_without_a_value_there_is_no_record() -> None:
    with pytest.raises(FieldError, match="the value is null"):
        find("nginx-json", EDGE_REQUESTS).records(None)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("confluent+native", b'{"edge_id":"a"}', "the header of Confluent's wire format"),
        ("filebeat+nginx-combined", b"[]", "nothing at message"),
        ("filebeat+nginx-combined", b"message", "expected JSON"),
        ("cloudevents+native", b'{"data": {"edge_id": 3}}', "Expected `str`, got `int`"),
        ("nginx-combined", LINE.encode(), r"edge_id: no text.*; it may be given: \?edge="),
    ],
)  # fmt: skip
def test_what_is_not_as_it_should_be_is_refused(name: str, value: bytes, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        find(name, EDGE_REQUESTS).records(value)


def test_each_item_of_a_list_is_a_record_and_knows_what_is_around_it(tmp_path: Path) -> None:
    (tmp_path / "list.toml").write_text(
        '[edge.requests]\neach = "hits"\nedge_id = "envelope.pop"\nobject_id = "id"\n'
        'timestamp = "at"\nwhere = [{ path = "id", not = "" }]\n'
    )
    form = find(str(tmp_path / "list.toml"), EDGE_REQUESTS)
    message = encoded(
        {"pop": "FRA", "hits": [{"id": "a", "at": 1}, {"at": 2}, {"id": "b", "at": 3}]}
    )
    assert form.records(message) == [EdgeRequest("FRA", "a", 1.0), EdgeRequest("FRA", "b", 3.0)]
    with pytest.raises(FieldError, match="nothing that is a list at hits"):
        form.records(b'{"hits": 1}')
    batch = form.decode_batch([message, b"{}", encoded({"hits": []}), message])
    assert [record.object_id for record in batch.records] == ["a", "b", "a", "b"]
    assert batch.positions == [0, 0, 3, 3]
    assert ([bad.position for bad in batch.bad], batch.skipped) == ([1], 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("apache", "none of that name; expected the path of a .toml file, or one of cloudevents"),
        ("native", "native needs none; leave the setting empty"),
        ("filebeat", r"filebeat is an envelope; expected what is in it, such as filebeat\+native"),
        ("nginx-json+native", "nginx-json is around nothing"),
        ("nginx-json?colour=red", "no parameter colour; there is edge, scheme, drop"),
        ("nginx-json?edge", "expected NAME=VALUE"),
    ],
)
def test_a_name_that_names_no_format_is_refused(name: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        find(name, EDGE_REQUESTS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[edge.requests]\nedge_id = 'a'", "needs object_id, timestamp"),
        ("[edge.requests]\ncolour = 'a'", "no field colour; a record of this topic has edge_id"),
        (
            "[social.events]\ncascade_id = 'a'",
            "makes no records of edge.requests, but of social.ev",
        ),
        ("[read]\nas = 'pattern'\npattern = '('\n", "pattern: missing"),
        ("[read]\nas = 'pattern'\npattern = 'a'\n", "it names no group"),
        ("[read]\nas = 'columns'\n", "columns: none are named"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    if text.startswith("[read]"):
        text += "[edge.requests]\nedge_id = 'a'\nobject_id = 'a'\ntimestamp = 'a'"
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(FormatError, match=message):
        find(str(tmp_path / "mine.toml"), EDGE_REQUESTS)


def test_settings_choose_and_say_what_records_depend_on(events: str) -> None:
    plain = load(environment={})
    assert chosen(plain, EDGE_REQUESTS) is None
    assert depends_on(plain, SOCIAL_EVENTS) == {}
    settings = load(environment={}, requests_format="nginx-json", social_format=events)
    form = chosen(settings, EDGE_REQUESTS)
    assert form is not None and form.name == "nginx-json"
    before = depends_on(settings, SOCIAL_EVENTS)["social_format"]
    Path(events).write_text(EVENTS.replace("milliseconds", "seconds"))
    other = find(events, SOCIAL_EVENTS)
    assert other.identity != before
    with pytest.raises(FormatError, match="requests_format: format 'apache': there is none"):
        chosen(load(environment={}, requests_format="apache"), EDGE_REQUESTS)


def test_topics_are_those_that_it_has_sections_of(events: str) -> None:
    assert topics_of("nginx-json?edge=a") == ["edge.requests"]
    assert topics_of(events) == ["social.events"]
    assert topics_of("debezium+native") == ["social.events", "edge.requests"]
