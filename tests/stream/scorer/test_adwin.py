"""ADWIN beside river's, value by value, and by what it promises."""

from __future__ import annotations

import numpy as np
import pytest
from river.drift import ADWIN

from stream.scorer.adwin import Adwin


@pytest.mark.parametrize("delta", [1e-4, 0.002, 0.05])
@pytest.mark.parametrize("seed", range(12))
def test_each_window_is_that_of_river(delta: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(200, 900, 6)
    values = np.concatenate(
        [rng.normal(5 * (i % 2), rng.uniform(0.1, 2), length) for i, length in enumerate(lengths)]
    )
    ours, theirs = Adwin(delta), ADWIN(delta=delta)
    cuts = 0
    for value in values.tolist():
        was_cut = ours.update(value)
        theirs.update(value)
        assert was_cut == theirs.drift_detected
        assert ours.width == theirs.width
        assert ours.mean == pytest.approx(theirs.estimation, rel=1e-9, abs=1e-12)
        if was_cut:
            ours, cuts = Adwin(delta), cuts + 1  # river begins anew with the next value
    assert cuts


def test_after_a_cut_the_mean_is_that_of_what_comes_now() -> None:
    window = Adwin(1e-4)
    assert window.mean == 0 and window.width == 0
    noise = np.random.default_rng(1).normal(0, 0.1, 600)
    cuts = [window.update(value) for value in noise[:300].tolist()]
    assert not any(cuts) and window.width == 300
    cuts = [window.update(5 + value) for value in noise[300:].tolist()]
    assert any(cuts)
    assert window.mean == pytest.approx(5, abs=0.1) and window.width <= 300


def test_what_never_changes_is_never_cut() -> None:
    window = Adwin(0.05)
    assert not any(window.update(2.5) for _ in range(5_000))
    assert (window.mean, window.width) == (2.5, 5_000)
