"""Logs, spans and metrics of a role."""

from __future__ import annotations

import logging
import sys

from prometheus_client import CollectorRegistry, ProcessCollector

from stream.settings import Settings
from stream.telemetry import metrics_server, spans
from stream.telemetry.log_lines import JsonLines, TextLines


def setup(settings: Settings, role: str) -> None:
    """Begins a role's logs and spans.

    One line a record on standard error, at the level of the settings: as text on a terminal and as
    JSON elsewhere, unless they say which.

    Raises:
        SpansError: spans are asked for, and what exports them is not installed.
    """
    on_terminal = sys.stderr is not None and sys.stderr.isatty()  # it may be closed
    handler = logging.StreamHandler(sys.stderr) if sys.stderr else logging.NullHandler()
    kind = settings.log_format or ("text" if on_terminal else "json")
    handler.setFormatter(JsonLines(role, settings.instance) if kind == "json" else TextLines())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    # These announce every connection and every rebalance twice over.
    for chatty in ("aiokafka", "faust", "mode", "numba", "opentelemetry", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    spans.start(settings, role)


def serve(registry: CollectorRegistry, settings: Settings) -> None:
    """Exposes the registry at /metrics when a port is set, with what the process itself uses.

    Raises:
        AccessError: others than this machine would reach it, and no token is set.
        OSError: the port cannot be had.
    """
    if settings.metrics_port:
        ProcessCollector(registry=registry)  # memory, processor, open files, when it started
        metrics_server.start(registry, settings)
