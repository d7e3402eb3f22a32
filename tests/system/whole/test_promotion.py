"""Versions promoted and rolled back by the commands, on a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.commands.models.publish import promote, publish, rollback
from stream.commands.models.show import show
from stream.scorer.versions import NotBetterError, NoWayBackError
from stream.serving.loading import describe
from topics.catalogue import FORECAST_SCORES, MODEL_UPDATES, POPULARITY_FORECASTS
from topics.records import ForecastScore, PopularityForecast

pytestmark = pytest.mark.system

Copy = Callable[[Path, str, str], Path]


def forecast(version: str, produced_at: float) -> tuple[str, bytes]:
    made = PopularityForecast(
        f"c@n10/seismic-{version}", "c", 0.0, 300.0, 300.0, 10, [], 0.1, 500, "seismic", version,
        False, produced_at,
    )  # fmt: skip
    return "c", POPULARITY_FORECASTS.codec.encode(made)


def scores(version: str, spread: float, shadow: bool) -> list[tuple[str, bytes]]:
    errors = np.random.default_rng(3).normal(0, spread, 600)
    return [
        (
            f"c{number}",
            FORECAST_SCORES.codec.encode(
                ForecastScore(
                    f"c{number}@n10/seismic-{version}", f"c{number}", 300.0, 3_600.0, 30.0, 30, 0.0,
                    True, "seismic", version, increment_log2_error=error, shadow=shadow,
                )
            ),
        )
        for number, error in enumerate(errors.tolist())
    ]  # fmt: skip


@pytest.mark.both
async def test_a_version_is_promoted_when_it_is_better_and_rolled_back(
    cluster: Any, tmp_path: Path, copy_version: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "registry"
    for version in ("1", "2", "3"):
        copy_version(root, "seismic", version)
    kafka = cluster.settings.kafka

    async def updates() -> list[tuple[str, str | None]]:
        decoded = [MODEL_UPDATES.codec.decode(r.value) for r in await cluster.read(MODEL_UPDATES)]
        assert all(u == describe_like(u) for u in decoded)
        return [(update.version, update.replaces) for update in decoded]

    def describe_like(update: Any) -> Any:
        made = describe("seismic", update.version, root)
        return type(made)(made.name, made.version, made.uri, made.digest, update.replaces)

    async def promoted(version: str, force: bool = False) -> None:
        await asyncio.to_thread(promote, "seismic", version, root, force, kafka)

    with pytest.raises(NoWayBackError, match="no version of seismic was published"):
        await asyncio.to_thread(rollback, "seismic", kafka)
    for topic in (POPULARITY_FORECASTS, FORECAST_SCORES):
        await cluster.publish(topic, [("odd", b"none of ours"), ("odd", None)])
    await cluster.publish(POPULARITY_FORECASTS, [forecast("3", 1.0), forecast("1", 2.0)])
    with pytest.raises(NotBetterError, match="seismic 2 has no score on outcomes that seismic 1"):
        await promoted("2")
    served, better, worse = scores("1", 1.0, False), scores("2", 0.5, True), scores("3", 2.0, True)
    await cluster.publish(FORECAST_SCORES, served + better + worse)
    with pytest.raises(NotBetterError, match="not 95 % sure"):
        await promoted("3")
    assert await updates() == []

    await promoted("2")
    assert await updates() == [("2", "1")]
    await cluster.publish(POPULARITY_FORECASTS, [forecast("2", 3.0)])
    await promoted("3", force=True)
    await cluster.publish(POPULARITY_FORECASTS, [forecast("3", 4.0)])
    await asyncio.to_thread(rollback, "seismic", kafka)
    assert await updates() == [("2", "1"), ("3", "2"), ("2", "3")]
    await cluster.publish(POPULARITY_FORECASTS, [forecast("2", 5.0)])
    await asyncio.to_thread(publish, "seismic", "2", root, kafka)
    with pytest.raises(NoWayBackError, match="does not say what it replaced"):
        await asyncio.to_thread(rollback, "seismic", kafka)

    capsys.readouterr()
    await asyncio.to_thread(show, "seismic", "2", root, True, kafka)
    shown = capsys.readouterr().out
    assert "seismic 2" in shown and "learnt from" in shown
    assert [line.split()[2] for line in shown.splitlines() if " all " in line] == [
        "served", "shadow", "shadow",
    ]  # fmt: skip
