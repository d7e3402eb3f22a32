"""The formats that ship, on made-up lines of the real shape: good ones and broken ones."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from stream.sources.formats.errors import FieldError
from stream.sources.formats.format import find, presets
from topics.catalogue import EDGE_REQUESTS
from topics.records import EdgeRequest

NOON = 1_777_636_800.0  # 2026-05-01T12:00:00Z
OBJECT = "https://www.example.com/a/b.js?v=1"
TARGET = "/a/b.js?v=1&utm_source=news"
CLIENT = "192.0.2.7"


def told(**fields: Any) -> str:
    return json.dumps(fields)


def columns(*cells: str) -> str:
    return "\t".join(cells)


NGINX = f'{CLIENT} - - [01/May/2026:14:00:00 +0200] "GET {TARGET} HTTP/1.1" 200 612 "-" "A \\"b\\""'
VARNISH = (
    f"{CLIENT} - - [01/May/2026:12:00:00 +0000] "
    f'"GET https://WWW.example.com:443{TARGET} HTTP/1.1" 200 612 "-" "-"'
)
SQUID = (
    f"{NOON:.3f}     12 {CLIENT} TCP_MEM_HIT/200 612 GET https://www.example.com{TARGET} "
    "- HIER_NONE/- text/css"
)
HAPROXY = (
    f"<134>May  1 12:00:00 lb haproxy[14389]: {CLIENT}:33317 [01/May/2026:12:00:00.000] http-in "
    "static/<CACHE> 10/0/30/69/109 200 +612 - - ---- 1/1/1/1/0 0/0 {www.example.com|x} {} "
    f'"GET {TARGET} HTTP/1.1"'
)
STANDARD = columns(
    "2026-05-01", "12:00:00", "FRA56-P4", "612", CLIENT, "GET", "d111.cloudfront.net", "/a/b.js",
    "200", "-", "Mozilla/5.0%20(X11)", "v=1&utm_source=news", "-", "Hit", "id==",
    "www.example.com", "https", "23", "0.001", "-", "TLSv1.3",
)  # fmt: skip
REALTIME = columns(
    f"{NOON:.3f}", CLIENT, "0.002", "200", "612", "GET", "https", "d111.cloudfront.net", TARGET,
    "23", "FRA56-P4", "id==", "www.example.com", "0.002", "HTTP/2.0", "IPv4", "Mozilla/5.0", "-",
    "-", "v=1", "Hit", "-", "TLSv1.3", "TLS_AES_128_GCM_SHA256", "Hit", "-",
)  # fmt: skip
GOOD: dict[str, tuple[str, str, bool | None]] = {
    # format: a line, the edge it is of, whether it was a hit
    "nginx-combined?edge=fra-3&scheme=https&host=www.example.com": (NGINX, "fra-3", None),
    "nginx-json?edge=fra-3": (
        told(
            time_iso8601="2026-05-01T14:00:00+02:00", remote_addr=CLIENT, request_method="GET",
            scheme="https", host="www.example.com", request_uri=TARGET, status="200",
            body_bytes_sent="612", upstream_cache_status="HIT",
        ),
        "fra-3",
        True,
    ),
    "varnishncsa?edge=fra-3": (VARNISH, "fra-3", None),
    "varnishkafka": (
        told(
            hostname="cp3030", sequence=12, dt="2026-05-01T12:00:00Z", ip=CLIENT,
            cache_status="hit-local", http_status="200", response_size=612, http_method="GET",
            uri_host="www.example.com", uri_path="/a/b.js", uri_query="?v=1&utm_source=news",
        ),
        "cp3030",
        True,
    ),
    "squid?edge=fra-3": (SQUID, "fra-3", True),
    "trafficserver?edge=fra-3": (SQUID.replace("HIER_NONE", "NONE"), "fra-3", True),
    "haproxy?edge=fra-3&scheme=https": (HAPROXY, "fra-3", True),
    "cloudfront-standard": (STANDARD, "FRA56-P4", True),
    "cloudfront-realtime": (REALTIME, "FRA56-P4", True),
    "fastly": (
        told(
            timestamp="2026-05-01T12:00:00+0000", client_ip=CLIENT, host="www.example.com",
            url=TARGET, request_method="GET", response_state="HIT-CLUSTER", response_status=200,
            response_body_size=612, fastly_server="cache-fra-etou8220123-FRA",
        ),
        "FRA",
        True,
    ),
    "cloudflare": (
        told(
            ClientIP=CLIENT, ClientRequestHost="www.example.com", ClientRequestMethod="GET",
            ClientRequestScheme="https", ClientRequestURI=TARGET, EdgeResponseStatus=200,
            EdgeStartTimestamp="2026-05-01T12:00:00Z", EdgeResponseBytes=612,
            CacheCacheStatus="hit", EdgeColoCode="FRA",
        ),
        "FRA",
        True,
    ),
    "fluent-bit-nginx?edge=fra-3&scheme=https&host=www.example.com": (
        told(**{
            "@timestamp": NOON, "remote": CLIENT, "host": "-", "user": "-", "method": "GET",
            "path": TARGET, "code": "200", "size": "612", "referer": "-", "agent": "-",
        }),
        "fra-3",
        None,
    ),
}  # fmt: skip


def shipped(form: str) -> str:
    return form.partition("?")[0]


def _answered(line: str, status: int) -> str:
    """The line with another status; +0200 is none."""
    return re.sub(r"(?<![+\d])200\b", str(status), line, count=1)


def test_each_that_makes_records_is_tried_here() -> None:
    makes = {one.name for one in presets() if one.topics}
    assert {shipped(form) for form in GOOD} == makes
    assert all(one.about for one in presets())


@pytest.mark.parametrize("form", GOOD, ids=shipped)
def test_a_line_becomes_the_record_that_it_tells_of(form: str) -> None:
    line, edge, hit = GOOD[form]
    size = None if form.startswith("haproxy") else 612  # headers and all: it tells no object's size
    expected = EdgeRequest(edge, OBJECT, NOON, size, hit, CLIENT)
    assert find(form, EDGE_REQUESTS).records(line.encode()) == [expected]
    assert find(form, EDGE_REQUESTS).records(line.encode() + b"\r\n") == [expected]


@pytest.mark.parametrize("form", GOOD, ids=shipped)
def test_what_is_sent_for_a_part_is_not_the_size_of_the_object(form: str) -> None:
    line, edge, hit = GOOD[form]
    [record] = find(form, EDGE_REQUESTS).records(_answered(line, 206).encode())
    assert (record.edge_id, record.object_id, record.size, record.hit) == (edge, OBJECT, None, hit)


@pytest.mark.parametrize("form", GOOD, ids=shipped)
def test_what_a_cache_cannot_spare_the_origin_is_passed_over(form: str) -> None:
    line, _, _ = GOOD[form]
    for other in (line.replace("GET", "POST"), _answered(line, 404)):
        assert find(form, EDGE_REQUESTS).records(other.encode()) == []


@pytest.mark.parametrize("form", GOOD, ids=shipped)
def test_a_miss_is_one(form: str) -> None:
    line, _, hit = GOOD[form]
    for told_as, other in (
        ("TCP_MEM_HIT", "TCP_MISS"), ("<CACHE>", "srv1"), ("HIT-CLUSTER", "MISS"),
        ("hit-local", "miss"), ('"HIT"', '"MISS"'), ('"hit"', '"miss"'), ("\tHit\t", "\tMiss\t"),
    ):  # fmt: skip
        line = line.replace(told_as, other)
    [record] = find(form, EDGE_REQUESTS).records(line.encode())
    assert record.hit is (None if hit is None else False)


@pytest.mark.parametrize("form", GOOD, ids=shipped)
@pytest.mark.parametrize("broken", ["", "broken", "{", "[1, 2]", '{"a": 1}', "a\tb", "\x00\xff"])
def test_a_broken_line_is_refused_and_breaks_nothing(form: str, broken: str) -> None:
    batch = find(form, EDGE_REQUESTS).decode_batch(
        [broken.encode("latin-1"), GOOD[form][0].encode()]
    )
    assert len(batch.records) == 1 and batch.positions == [1]
    # JSON that lacks what a condition asks for is not one that counts.
    assert len(batch.bad) + batch.skipped == 1
    assert all(shipped(form) in str(bad.error) for bad in batch.bad)


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("nginx-combined?edge=a", NGINX.replace("01/May/2026", "01/Mai/2026")),
        ("nginx-combined?edge=a", NGINX.replace("14:00:00", "noon")),
        ("cloudfront-standard", STANDARD.replace("12:00:00", "noon")),
        ("fastly", GOOD["fastly"][0].replace("2026-05-01", "yesterday")),
    ],
)
def test_a_time_that_is_none_is_refused(form: str, line: str) -> None:
    with pytest.raises(FieldError, match="timestamp: got"):
        find(form, EDGE_REQUESTS).records(line.encode())


def test_comments_of_a_log_are_passed_over() -> None:
    form = find("cloudfront-standard", EDGE_REQUESTS)
    assert form.records(b"#Version: 1.0\n") == []
    assert form.records(b"#Fields: date time x-edge-location\n") == []


def test_requests_that_tell_no_method_are_no_requests() -> None:
    """A client that speaks TLS to a plain port, or nothing at all, as nginx logs it."""
    line = f'{CLIENT} - - [01/May/2026:12:00:00 +0000] "\\x16\\x03\\x01" 400 157 "-" "-"'
    assert find("nginx-combined?edge=a", EDGE_REQUESTS).records(line.encode()) == []
    empty = line.replace("\\x16\\x03\\x01", "").replace("400", "408")
    assert find("nginx-combined?edge=a", EDGE_REQUESTS).records(empty.encode()) == []


@pytest.mark.parametrize(
    "signed",
    [
        "X-Amz-Date=20260501T120000Z&X-Amz-Signature=abc&X-Amz-Expires=60",
        "Expires=1&Signature=a&Key-Pair-Id=b",
        "gclid=1",
    ],
)
@pytest.mark.parametrize("form", GOOD, ids=shipped)
def test_signatures_and_campaigns_do_not_multiply_objects(form: str, signed: str) -> None:
    line = GOOD[form][0].replace("utm_source=news", signed)
    [record] = find(form, EDGE_REQUESTS).records(line.encode())
    assert record.object_id == OBJECT
