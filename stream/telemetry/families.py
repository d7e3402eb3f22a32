"""Metrics of one part of the product: their names begin alike, and their times are told alike."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class Families:
    """Makes them.

    Args:
        part: what all names have after `tidecast_`, such as `ranker`.
        registry: where they go.
    """

    def __init__(self, part: str, registry: CollectorRegistry) -> None:
        self._prefix = f"tidecast_{part}_"
        self._registry = registry

    def counter(self, name: str, what: str, labels: Sequence[str] = ()) -> Counter:
        """Counts; its name ends with `_total`."""
        return Counter(f"{self._prefix}{name}_total", what, labels, registry=self._registry)

    def gauge(self, name: str, what: str, labels: Sequence[str] = ()) -> Gauge:
        """A value that goes up and down."""
        return Gauge(f"{self._prefix}{name}", what, labels, registry=self._registry)

    def seconds(self, name: str, what: str) -> Histogram:
        """Times from a millisecond to a minute; its name ends with `_seconds`."""
        full = f"{self._prefix}{name}_seconds"
        return Histogram(full, what, registry=self._registry, buckets=_SECONDS)
