"""Which version makes rankers, as updates come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry

from stream.serving.loading import describe
from stream.serving.rankers import of_ranker
from stream.settings import Settings


def test_an_update_changes_what_makes_rankers_and_is_counted(
    copy_version: Callable[[Path, str, str], Path], tmp_path: Path
) -> None:
    for version in ("1", "2"):
        copy_version(tmp_path, "cachemamba", version)
    settings = Settings(ranker="cachemamba", registry=str(tmp_path))
    metrics = CollectorRegistry()
    serving = of_ranker(settings, [describe("cachemamba", "1", tmp_path)], metrics)
    first = serving.current()
    assert first.make().version == "1"
    serving.take(describe("cachemamba", "1", tmp_path))
    assert serving.current() is first
    serving.take(describe("cachemamba", "2", tmp_path))
    assert serving.current().make().version == "2"
    assert metrics.get_sample_value("tidecast_ranker_swaps_total") == 1
    assert metrics.get_sample_value("tidecast_ranker_failed_swaps_total") == 0
    (tmp_path / "cachemamba" / "1" / "config.json").write_text("{}")
    serving.take(describe("cachemamba", "1", tmp_path))
    assert serving.current().make().version == "2"
    assert metrics.get_sample_value("tidecast_ranker_failed_swaps_total") == 1
