"""What a process tells of itself: heartbeats, metrics, logs, spans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stream.settings.domain import Domain, setting
from stream.settings.spelling import Duration


@dataclass(frozen=True)
class Telemetry(Domain):
    """Ports, levels and shares; what is off costs nothing."""

    heading: ClassVar[str] = "Telemetry"

    heartbeat: Duration = setting(
        Duration(5), "between the heartbeats that a heart sends to each input partition; 0: none"
    )
    status_dir: str = setting(
        "", "folder in which a process says what it is at while it starts; empty: nowhere"
    )
    metrics_port: int = setting(0, "HTTP port of /metrics; 0: none")
    metrics_host: str = setting("127.0.0.1", "address of /metrics; loopback unless told otherwise")
    log_level: str = setting("info", "debug, info, warning or error")
    log_format: str = setting("", "text or json; empty: text on a terminal, json elsewhere")
    trace_share: float = setting(
        0.01, "of batches, and of traces that begin here, of which spans are made; 0 to 1"
    )
    otlp_endpoint: str = setting(
        "", "http://host:4318, gets spans of OpenTelemetry; empty: OTEL_EXPORTER_OTLP_ENDPOINT"
    )

    def __post_init__(self) -> None:
        """Refuses levels, forms and shares that are none."""
        super().__post_init__()
        levels = ("debug", "info", "warning", "error")
        self.allow("log_level", self.log_level.lower() in levels, "debug, info, warning or error")
        self.allow("log_format", self.log_format in ("", "text", "json"), "text, json or nothing")
        self.allow("trace_share", 0 <= self.trace_share <= 1, "0 to 1")
