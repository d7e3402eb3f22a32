"""The example of a model: a forecaster as any other, once whoever runs it has named its class."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from examples.own_model import Steady, write
from models import registry
from models.data.datasets import snapshot_at
from models.judging import comparison
from models.registry import BrokenModelError
from stream.serving.loading import load
from stream.settings import Settings
from tests.documented import ROOT
from tests.models.test_interface import HORIZONS, check, star

KIND = "examples.own_model:Steady"


def test_it_is_written_as_the_example_says(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "examples.own_model", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(told.stdout.strip()) == tmp_path / "steady" / "1"
    assert registry.read_card("steady", root=tmp_path).kind == KIND


def test_it_is_served_where_a_setting_names_its_class(tmp_path: Path) -> None:
    write(tmp_path)
    ours = Settings(registry=str(tmp_path), model_classes=(KIND,))
    assert isinstance(load(ours, "steady").model, Steady)
    with pytest.raises(BrokenModelError, match=r"name it in the setting `model_classes`"):
        load(ours.having(model_classes=()), "steady")


def test_it_is_judged_beside_the_others(tmp_path: Path) -> None:
    write(tmp_path)
    [(candidate, card)] = comparison.pretrained(["steady"], {}, tmp_path, (KIND,))
    assert isinstance(candidate.model, Steady) and card.kind == KIND


def test_it_forecasts_as_any_other() -> None:
    snapshots = [snapshot_at(star(events, 30), 1_800.0) for events in (1, 10, 60)]
    together = Steady().forecast(snapshots, HORIZONS)
    check(together, 3, len(HORIZONS))
    for row, snapshot in enumerate(snapshots):
        alone = Steady().forecast([snapshot], HORIZONS)
        np.testing.assert_array_equal(alone.quantiles[0], together.quantiles[row])
    check(Steady().forecast([], HORIZONS), 0, len(HORIZONS))


def test_a_steady_cascade_goes_on_as_it_did() -> None:
    # 60 events in 1,800 s: 30 of them in the second half, so 30 more by 3,600 s.
    forecast = Steady().forecast([snapshot_at(star(60, 30), 1_800.0)], np.array([3_600.0]))
    assert forecast.log_mean[0, 0] == pytest.approx(np.log2(31))
