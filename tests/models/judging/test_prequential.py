"""Forecasts corrected by the outcomes known by then: by all of those, and by no other."""

from __future__ import annotations

import numpy as np

from models.cascades.windows import Window
from models.data.datasets import Cascade
from models.interface import Increments
from models.judging.conformal import PRIOR, Tracked
from models.judging.prequential import followed

WINDOW = Window(3_600.0, 86_400.0)


def cascade(published_at: float) -> Cascade:
    return Cascade("c", "u", published_at, ["u"], np.array([-1], np.int32), np.zeros(1))


def constant(size: int) -> Increments:
    quantiles = np.tile(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), (size, 1, 1))
    return Increments(quantiles, np.full((size, 1), 7.0), np.full((size, 1), 3.0))


def test_an_outcome_corrects_what_is_forecast_after_it_and_nothing_before() -> None:
    known_at = 1_000.0 + WINDOW.horizon
    # One whose outcome is known, given out of order; one asked just before it is, and one as it is.
    published = [known_at - WINDOW.observed, 1_000.0, known_at - WINDOW.observed - 1]
    realised = np.array([7, 31, 7], np.int64)
    said = followed(constant(3), [cascade(at) for at in published], realised, WINDOW)
    shift = (5 - 3) / (PRIOR + 1)
    assert said.log_mean[:, 0].tolist() == [3 + shift, 3, 3]
    assert said.expected[:, 0].tolist() == [8 * 2**shift - 1, 7, 7]
    tracked = Tracked()
    tracked.update(5.0, 3.0, 1.0, 5.0, True)
    assert said.quantiles[0, 0].tolist() == [
        1 + shift - tracked.lower, 2 + shift, 3 + shift, 4 + shift, 5 + shift + tracked.upper,
    ]  # fmt: skip
    assert (said.quantiles[1:] == constant(2).quantiles).all()


def test_a_bias_is_found_and_the_interval_holds_what_it_promises() -> None:
    generator = np.random.default_rng(1)
    cascades = [cascade(86_400.0 * day) for day in range(1_500)]
    realised = np.exp2(np.maximum(generator.normal(5, 1, 1_500), 0)).astype(np.int64) - 1
    came = np.log2(1 + realised)
    said = followed(constant(1_500), cascades, realised, WINDOW)
    late = slice(300, None)
    assert np.mean((said.log_mean[late, 0] - came[late]) ** 2) < 1.15
    assert np.mean((3 - came[late]) ** 2) > 4
    inside = (said.quantiles[late, 0, 0] <= came[late]) & (came[late] <= said.quantiles[late, 0, 4])
    assert 0.87 <= inside.mean() <= 0.93


def test_nothing_to_forecast() -> None:
    said = followed(constant(0), [], np.empty(0, np.int64), WINDOW)
    assert said.log_mean.shape == (0, 1)
