"""Spans as a collector gets them: over HTTP, in the protobuf of OTLP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")

import gzip
import sys

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from stream.settings import Settings
from stream.telemetry import spans
from stream.telemetry.traces import TRACEPARENT, derived, trace_id
from tests.patience import PATIENCE


class Collector(HTTPServer):
    """Takes spans as OTLP over HTTP has them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, ExportTraceServiceRequest]] = []

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for _, request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert isinstance(self.server, Collector)
        self.server.requests.append((self.path, ExportTraceServiceRequest.FromString(body)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing on standard error."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def exporting(collector: Collector) -> Iterator[Any]:
    """A role that exports to the collector; gives what flushes it."""
    settings = Settings(otlp_endpoint=f"http://127.0.0.1:{collector.server_port}", trace_share=1.0)
    provider = spans.start(settings, "forecaster")
    yield provider
    provider.shutdown()
    spans.use(None, "")


def test_a_batch_s_stages_lie_inside_it_and_a_sampled_trace_goes_on(
    collector: Collector, exporting: Any
) -> None:
    with spans.stage("batch"), spans.stage("compute"), spans.stage("call"):
        pass
    with spans.stage("batch", if_any=[]):
        pass  # nothing was fetched, and nothing is told
    sampled, other = derived("c@n10", 1.0), derived("c@n20", 0.0)
    for traceparent in (sampled, other):
        spans.note_published(
            ((TRACEPARENT, traceparent),), 1_700_000_000_000, "popularity.forecasts",
            began=1_700_000_000.5,
        )  # fmt: skip
    assert exporting.force_flush(round(1000 * PATIENCE))
    assert {path for path, _ in collector.requests} == {"/v1/traces"}
    found = {span.name: span for span in collector.spans}
    assert sorted(span.name for span in collector.spans) == [
        "batch", "call", "compute", "forecaster",
    ]  # fmt: skip
    assert found["call"].parent_span_id == found["compute"].span_id
    assert found["compute"].parent_span_id == found["batch"].span_id
    one = found["forecaster"]
    assert one.trace_id.hex() == trace_id(sampled)
    assert one.parent_span_id.hex() == sampled[36:52].decode()
    assert one.start_time_unix_nano == 1_700_000_000_000 * 1_000_000
    told = {attribute.key: attribute.value for attribute in one.attributes}
    assert told["messaging.destination.name"].string_value == "popularity.forecasts"
    assert told["tidecast.queue_seconds"].double_value == 0.5
    (resource,) = {
        attribute.value.string_value
        for _, request in collector.requests
        for of in request.resource_spans
        for attribute in of.resource.attributes
        if attribute.key == "service.name"
    }
    assert resource == "tidecast.forecaster"


def test_without_an_endpoint_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert spans.start(Settings(), "tracker") is None
    with spans.stage("batch") as span:
        assert span is None
    spans.note_published(((TRACEPARENT, derived("c", 1.0)),), 0, "t")


def test_where_the_exporter_is_not_installed_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    with pytest.raises(spans.SpansError, match=r"pip install 'tidecast\[otel\]'"):
        spans.start(Settings(), "tracker")
