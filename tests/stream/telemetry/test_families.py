"""Names and labels of the metrics of one part."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from stream.telemetry.families import Families


def test_names_begin_with_the_part_and_end_with_what_they_are() -> None:
    registry = CollectorRegistry()
    families = Families("ranker", registry)
    families.counter("windows", "Windows read").inc(2)
    families.gauge("edges", "Edges known", ["site"]).labels("oslo").set(3)
    families.seconds("compute", "Time to answer").observe(0.002)
    told = generate_latest(registry).decode()
    assert "# HELP tidecast_ranker_windows_total Windows read\n" in told
    assert "tidecast_ranker_windows_total 2.0\n" in told
    assert 'tidecast_ranker_edges{site="oslo"} 3.0\n' in told
    assert 'tidecast_ranker_compute_seconds_bucket{le="0.001"} 0.0\n' in told
    assert 'tidecast_ranker_compute_seconds_bucket{le="0.0025"} 1.0\n' in told
    assert 'tidecast_ranker_compute_seconds_bucket{le="60.0"} 1.0\n' in told
