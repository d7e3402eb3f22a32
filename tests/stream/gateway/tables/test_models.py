"""Error and coverage by model version and horizon."""

from __future__ import annotations

import numpy as np
import pytest

from stream.gateway.tables.models import ModelTable
from tests.stream.gateway.conftest import forecast, score


def test_quality_is_what_the_definitions_say() -> None:
    table = ModelTable()
    pairs = [(100.0, 120, True), (50.0, 120, False), (10.0, 9, True)]
    for predicted, realised, inside in pairs:
        table.take_score(score(predicted, realised, inside=inside))
    table.take_score(score(1.0, 1, horizon=14_400.0))
    one, other = table.models().items[0].quality
    errors = [np.log2(p + 1) - np.log2(r + 1) for p, r, _ in pairs]
    assert one.horizon == 3_600.0 and other.horizon == 14_400.0
    assert one.msle == pytest.approx(np.mean(np.square(errors)))
    assert one.bias == pytest.approx(np.mean(errors))
    assert one.coverage == pytest.approx(2 / 3)
    assert (one.scores, other.scores) == (3, 1)


def test_figures_are_of_the_latest_scores() -> None:
    table = ModelTable()
    for _ in range(2_000):
        table.take_score(score(100.0, 100, inside=False))
    for _ in range(2_000):
        table.take_score(score(7.0, 1))
    quality = table.models().items[0].quality[0]
    assert (quality.scores, quality.latest, quality.coverage) == (4_000, 2_000, 1.0)
    assert quality.msle == pytest.approx(4.0)


def test_without_scores_it_says_so_and_who_answers() -> None:
    table = ModelTable()
    assert "No scores yet" in table.models().note
    table.take_forecast(forecast(produced_at=5.0))
    table.take_forecast(forecast(model="seismic", produced_at=9.0))
    models = table.models()
    assert [row.model for row in models.items] == ["seismic", "boosting"]
    assert "No scores yet" in models.note
    table.take_score(score(1.0, 1))
    assert table.models().note == ""


def test_versions_are_bounded() -> None:
    table = ModelTable()
    for i in range(500):
        table.take_forecast(forecast(model_version=str(i)))
    assert len(table.models().items) == 64
