"""Logs and metrics of a role."""

from __future__ import annotations

import logging
import sys

from prometheus_client import CollectorRegistry

from stream import metrics_server
from stream.settings import Settings


def setup_logging(settings: Settings) -> None:
    """One line a record on standard error, at the level of the settings."""
    logging.basicConfig(
        level=settings.log_level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    # These announce every connection and every rebalance twice over.
    for chatty in ("aiokafka", "faust", "mode", "numba"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def serve(registry: CollectorRegistry, settings: Settings) -> None:
    """Exposes the registry at /metrics when a port is set.

    Raises:
        AccessError: others than this machine would reach it, and no token is set.
        OSError: the port cannot be had.
    """
    if settings.metrics_port:
        metrics_server.start(registry, settings)
