"""Versions compared: on the same snapshots, by cascades, and refused with what to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.judging.confidence import LEAST
from models.registry import BrokenModelError
from stream.scorer.versions import (
    Comparison,
    NotBetterError,
    assert_better,
    check,
    compare,
    summary,
)
from stream.serving.loading import describe
from stream.settings import Settings
from topics.records import ForecastScore


def score(
    cascade: int, version: str, error: float, *, shadow: bool = False, **changes: Any
) -> ForecastScore:
    fields: dict[str, Any] = {
        "forecast_id": f"c{cascade}@n10/m-{version}", "cascade_id": f"c{cascade}", "age": 300.0,
        "horizon": 3_600.0, "predicted": 30.0, "realised": 30, "log2_error": 0.0,
        "inside_interval": True, "model": "m", "model_version": version,
        "increment_log2_error": error, "shadow": shadow,
    }  # fmt: skip
    return ForecastScore(**(fields | changes))


def tried(cascades: int, gain: float) -> list[ForecastScore]:
    """Scores of what was served and of a shadow whose errors are smaller by `gain`, or larger."""
    generator = np.random.default_rng(5)
    made = []
    for cascade in range(cascades):
        made.append(score(cascade, "1", generator.normal(0, 1)))
        made.append(score(cascade, "2", generator.normal(0, 1 - gain), shadow=True))
    return made


@pytest.mark.parametrize(
    "name, file", [("cachemamba", "config.json"), ("seismic", "constants.json")]
)
def test_a_version_is_checked_whatever_it_is_of(
    name: str, file: str, copy_version: Callable[[Path, str, str], Path], tmp_path: Path
) -> None:
    folder = copy_version(tmp_path, name, "2")
    check(Settings(), describe(name, "2", tmp_path))
    (folder / file).write_text("{}")
    with pytest.raises(BrokenModelError):
        check(Settings(), describe(name, "2", tmp_path))


def test_only_the_same_snapshots_and_horizons_are_compared() -> None:
    scores = [
        score(1, "1", 2.0), score(1, "2", 1.0, shadow=True),
        score(1, "1", 4.0, horizon=7_200.0), score(1, "2", 1.0, shadow=True, horizon=7_200.0),
        score(2, "1", 3.0), score(2, "2", 0.0, shadow=True),
        score(3, "1", 9.0),  # the shadow gave way
        score(4, "2", 9.0, shadow=True),  # another version was served
        score(4, "0", 0.0), score(5, "1", 9.0, degraded=True), score(5, "2", 0.0, shadow=True),
        score(6, "1", 9.0, horizon=7_200.0), score(6, "2", 0.0, shadow=True),
    ]  # fmt: skip
    found = compare(scores, "m", "1", "2")
    # Each cascade counts once, however many forecasts of it there were.
    assert found == Comparison(2, ((4 + 16) / 2 + 9) / 2, 1 / 2, -math.inf)
    assert compare(scores, "m", "7", "2").cascades == 0


def test_a_better_version_passes_and_says_by_how_much() -> None:
    found = compare(tried(600, 0.5), "m", "1", "2")
    assert_better(found, "m", "1", "2")
    assert 0 < found.surely < found.served - found.candidate


@pytest.mark.parametrize(
    ("cascades", "gain", "reason"),
    [
        (0, 0.5, "TIDECAST_SHADOWS=m:2"),
        (LEAST - 1, 0.9, f"at least {LEAST} are needed"),
        (600, 0.0, "not 95 % sure"),
        (600, -0.5, "not 95 % sure"),
        (600, 0.01, "wait for more"),
    ],
)
def test_what_is_not_surely_better_is_refused(cascades: int, gain: float, reason: str) -> None:
    found = compare(tried(cascades, gain), "m", "1", "2")
    with pytest.raises(NotBetterError, match=reason) as refused:
        assert_better(found, "m", "1", "2")
    assert "--force" in str(refused.value)


def test_a_summary_has_what_is_served_first_and_all_horizons_last() -> None:
    scores = [
        score(1, "2", 1.0, shadow=True), score(1, "1", 1.0), score(2, "1", 1.0, degraded=True),
        score(1, "1", 1.0, horizon=7_200.0), score(1, "1", 1.0, horizon=5_000.0),
    ]  # fmt: skip
    rows = [(k.kind, k.version, horizon, f.n) for k, horizon, f in summary(scores, (3600, 7200))]
    assert rows == [
        ("served", "1", 3600, 1), ("served", "1", 7200, 1), ("served", "1", None, 2),
        ("degraded", "1", 3600, 1), ("degraded", "1", None, 1),
        ("shadow", "2", 3600, 1), ("shadow", "2", None, 1),
    ]  # fmt: skip
