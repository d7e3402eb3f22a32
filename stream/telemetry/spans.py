"""Spans of OpenTelemetry, where they are asked for: what each batch took, and sampled traces.

Off, which is the default, a stage costs a comparison. On, with the extra `otel` installed and the
setting `otlp_endpoint` (or the environment's `OTEL_EXPORTER_OTLP_ENDPOINT`) given, a role exports

    batch                  a share of its batches (`trace_share`), with the stages inside it:
      decode, state        of the ingest roles
      compute, call        of the model roles; a call of the model
      publish              until the broker has acknowledged and the batch is committed
    tracker, forecaster    of each sampled trace: from the arrival of what caused a message to its
                           publication, as a child of the span that the event's sender named

    SpansError(TidecastError)    what exports spans is not installed
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from stream.settings import Settings
from stream.telemetry.traces import TRACEPARENT, Headers, carried, is_sampled
from topics.errors import TidecastError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_STANDARD = "OTEL_EXPORTER_OTLP_ENDPOINT"
_OFF: AbstractContextManager[None] = nullcontext()
_tracer: Any = None
_role = ""


class SpansError(TidecastError):
    """What exports spans is not installed."""


def start(settings: Settings, role: str) -> TracerProvider | None:
    """Begins to export the spans of this process, where the settings ask for it.

    It goes on until the process ends; what is left is sent then.

    Raises:
        SpansError: they do, and the extra `otel` is not installed.
    """
    endpoint = settings.otlp_endpoint or os.environ.get(_STANDARD, "")
    if not endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        raise SpansError(
            f"spans are to go to {endpoint}, and {error.name} is not installed; "
            "pip install 'tidecast[otel]', or take the endpoint away"
        ) from error
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.trace_share)),
        resource=Resource.create(
            {"service.name": f"tidecast.{role}", "service.instance.id": settings.instance}
        ),
    )
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    use(provider, role)
    return provider


def use(provider: TracerProvider | None, role: str) -> None:
    """Has spans made by a provider from now on; None: by none."""
    global _tracer, _role
    _tracer = None if provider is None else provider.get_tracer("tidecast")
    _role = role


def stage(name: str, if_any: Collection[Any] = (None,)) -> AbstractContextManager[Any]:
    """A span of what is done while it is entered, inside the one that is entered already.

    Args:
        if_any: what is worked on; without any there is no span.
    """
    return _OFF if _tracer is None or not if_any else _tracer.start_as_current_span(name)


def note_published(
    headers: Headers, arrived_ms: int, topic: str, began: float | None = None
) -> None:
    """A span of a message that was published just now, where its trace is sampled.

    Args:
        headers: of the message.
        arrived_ms: Kafka timestamp of what caused it.
        topic: that it went to.
        began: when the batch was begun, unix seconds, to tell what of the span was waiting.
    """
    if _tracer is None:
        return
    traceparent = carried(headers)
    if traceparent is None or not is_sampled(traceparent):
        return
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    parent = TraceContextTextMapPropagator().extract({TRACEPARENT: traceparent.decode()})
    span = _tracer.start_span(
        _role,
        context=parent,
        start_time=arrived_ms * 1_000_000,
        attributes={"messaging.destination.name": topic},
    )
    if began is not None:
        span.set_attribute("tidecast.queue_seconds", max(0.0, began - arrived_ms / 1000))
    span.end(max(arrived_ms * 1_000_000, time.time_ns()))
