"""The sequential test: seldom wrong however often one looks, and right in the end."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.judging.confidence import LEAST, lower_bound

LOOKS = [*range(LEAST, 400, 10), *range(400, 2_000, 100)]


def says_better(sample: np.ndarray) -> bool:
    """Whether it says so at any of many looks."""
    return any(lower_bound(sample[:n]) > 0 for n in LOOKS)


@pytest.mark.parametrize("kind", ["normal", "skewed"])
def test_who_looks_again_and_again_is_seldom_told_of_what_is_not(kind: str) -> None:
    generator = np.random.default_rng(7)
    shape = (300, 2_000)
    noise = (
        generator.normal(size=shape) if kind == "normal" else 1 - generator.exponential(1, shape)
    )
    assert np.mean([says_better(sample) for sample in noise]) <= 0.05
    # A test that is made for one look is not made for this.
    once = [any(s[:n].mean() > 1.645 * s[:n].std() / math.sqrt(n) for n in LOOKS) for s in noise]
    assert np.mean(once) > 0.1


def test_what_is_better_is_found_the_sooner_the_more_it_is() -> None:
    generator = np.random.default_rng(8)
    noise = generator.normal(size=(50, 2_000))

    def looks_until(gain: float) -> float:
        return float(np.median([
            next((n for n in LOOKS if lower_bound(sample[:n] + gain) > 0), math.inf)
            for sample in noise
        ]))  # fmt: skip

    assert LEAST <= looks_until(0.3) < looks_until(0.2) < looks_until(0.14) < 2_000


def test_the_bound_draws_near_to_the_mean_and_few_say_nothing() -> None:
    sample = np.random.default_rng(9).normal(2, 1, 100_000)
    assert lower_bound(sample[: LEAST - 1]) == -math.inf
    bounds = [lower_bound(sample[:n]) for n in (LEAST, 1_000, 100_000)]
    assert bounds == sorted(bounds)
    assert 1.95 < bounds[-1] < sample.mean()
