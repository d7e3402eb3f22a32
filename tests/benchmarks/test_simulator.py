"""The estimators find the parameters of what they are given; the fit matches its data."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from models.data.cascades import read_cascades
from stream.sources.parameters import load

SIMULATOR = Path(__file__).resolve().parents[2] / "benchmarks" / "simulator"


def script(name):
    """A script's module, found as when it is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SIMULATOR)
        return importlib.import_module(name)


@pytest.fixture(scope="module")
def fit():
    return script("fit")


@pytest.fixture(scope="module")
def check():
    return script("check")


def lomax(random, count, scale, exponent, longest):
    """By rejection."""
    draws = scale * (random.random(20 * count) ** (-1 / exponent) - 1)
    return draws[draws <= longest][:count]


def test_two_piece_laws_are_found(fit):
    z = np.random.default_rng(0).standard_normal(50_000)
    law = fit.two_piece(200 * np.exp(np.where(z < 0, 0.5, 1.5) * z))
    assert law.median == pytest.approx(200, rel=0.03)
    assert law.spread_below == pytest.approx(0.5, rel=0.03)
    assert law.spread_above == pytest.approx(1.5, rel=0.03)


def test_beta_laws_are_found(fit):
    law = fit.beta_law(np.random.default_rng(0).beta(1.2, 2.5, 50_000))
    assert (law.alpha, law.beta) == pytest.approx((1.2, 2.5), rel=0.05)


def test_delay_laws_are_found(fit):
    random = np.random.default_rng(0)
    scales = np.exp(random.normal(7, 1, 200))
    parts = [lomax(random, 300, scale, 0.8, fit.LIFETIME) for scale in scales]
    found, exponent = fit.direct_law(parts)
    assert exponent == pytest.approx(0.8, abs=0.1)
    assert np.median(np.log(found / scales)) == pytest.approx(0, abs=0.2)
    longest = np.full(20_000, 50_000.0)
    law = fit.reshare_law(lomax(random, 20_000, 600, 0.5, 50_000), longest)
    assert law.exponent == pytest.approx(0.5, abs=0.1)
    assert law.scale == pytest.approx(600, rel=0.3)


def test_the_spread_of_audiences_is_found(fit):
    random = np.random.default_rng(0)
    reproduction = random.beta(1.2, 2.5, 1_000)
    audience = np.exp(1.7 * random.standard_normal((100, 1_000)) - 1.7**2 / 2)
    childless = (random.poisson(reproduction * audience) == 0).mean()
    found = fit.audience_spread(reproduction, np.ones(1_000), childless)
    assert found == pytest.approx(1.7, abs=0.15)


def test_zipf_exponents_are_found(fit):
    weights = np.arange(1, 2_001) ** -0.9
    counts = np.random.default_rng(0).multinomial(200_000, weights / weights.sum())
    assert fit.zipf_exponent(counts) == pytest.approx(0.9, abs=0.03)


def test_own_time_flattens_the_rhythm(fit):
    rhythm = [0.5] * 12 + [1.5] * 12
    times = np.array([0, 43_200, 64_800, 86_400]) + 5 * 86_400.0
    assert fit.own_time(times, rhythm) - 5 * 86_400 == pytest.approx([0, 21_600, 54_000, 86_400])


@pytest.mark.data
@pytest.mark.parametrize("name", ["weibo_ced", "twitter1516", "kuairand", "twitter_urls_2010"])
def test_simulated_cascades_match_the_recorded_ones(check, data_dir, name):
    """The bounds that docs/simulator.md states, of medians over cascades."""
    population = next(p for p in load().populations if p.name == name)
    recorded = list(read_cascades(data_dir / "cascades" / f"{name}.txt.xz"))
    real = check.statistics(recorded)
    simulated = check.statistics(check.simulated(load(), population, len(recorded), seed=1))
    for age in ("1 h", "24 h", "48 h"):
        pair = [np.median(found[f"events at {age}"]) for found in (real, simulated)]
        assert max(pair) <= 1.6 * min(pair) or max(pair) - min(pair) <= 2
    pair = [np.median(found["delay of a direct share (s)"]) for found in (real, simulated)]
    assert max(pair) <= 1.6 * min(pair)
    label = "direct shares, part of all (%)"
    assert abs(real[label].mean() - simulated[label].mean()) < 8
    if population.reshares is not None:
        label = "depth of an event"
        assert abs(real[label].mean() - simulated[label].mean()) < 0.5
