"""SEISMIC's closed form on cascades that can be worked out, and its fit on ones that are made."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.cascades.observations import observe
from models.cascades.power_law import cumulative, infectiousness
from models.data.datasets import ROOT, Cascade, snapshot_at
from models.forecasters.seismic import Constants, Seismic, fit

HORIZONS = np.array([7_200.0, 86_400.0])


def cascade_at(delays: NDArray[np.float64]) -> Cascade:
    parents = np.array([ROOT] + [0] * (len(delays) - 1), np.int32)
    users = [str(index) for index in range(len(delays))]
    return Cascade("c", "0", 1.5e9, users, parents, delays)


def test_the_closed_form_is_decay_p_d_over_one_minus_degree_p() -> None:
    constants = Constants(prior_weight=3.0, prior_mean=0.4, decay=0.8, mean_degree=0.6, limit=0.9)
    delays = np.array([0.0, 100, 700, 2_000, 3_000])
    got = Seismic(constants).forecast([snapshot_at(cascade_at(delays), 3_600.0)], HORIZONS)
    p = infectiousness(
        delays.astype(np.float32), np.empty(0, np.int32), 3_600.0,
        constants.plateau, constants.exponent, 3.0, 0.4,
    )  # fmt: skip

    def share(horizon: float) -> float:
        return sum(
            cumulative(horizon - delay, constants.plateau, constants.exponent)
            - cumulative(3_600.0 - delay, constants.plateau, constants.exponent)
            for delay in delays
        )

    expected = [0.8 * p * share(horizon) / (1 - min(0.6 * p, 0.9)) for horizon in HORIZONS]
    assert got.expected[0] == pytest.approx(expected)
    assert np.exp2(got.quantiles[0, :, 2]) - 1 == pytest.approx(expected)


def test_without_events_in_the_later_half_the_prior_decides() -> None:
    answers = infectiousness(
        np.zeros(1, np.float32), np.empty(0, np.int32), 1e9, 300.0, 0.242, 1.0, 0.5
    )
    assert answers == pytest.approx(0.5, rel=0.05)


def test_a_supercritical_cascade_has_a_finite_forecast() -> None:
    burst = cascade_at(np.linspace(0, 60, 5_000))
    constants = Constants(mean_degree=1.0, limit=0.9)
    forecast = Seismic(constants).forecast([snapshot_at(burst, 60.0)], HORIZONS)
    assert np.isfinite(forecast.expected).all()
    uncorrected = Seismic(Constants(mean_degree=0.0)).forecast([snapshot_at(burst, 60.0)], HORIZONS)
    assert forecast.expected == pytest.approx(uncorrected.expected / (1 - 0.9))


def test_a_wider_deviation_widens_the_interval_about_the_same_median() -> None:
    snapshot = snapshot_at(cascade_at(np.arange(0, 3_600, 10.0)), 3_600.0)
    narrow = Seismic(Constants(deviation=0.5)).forecast([snapshot], HORIZONS).quantiles
    wide = Seismic(Constants(deviation=1.5)).forecast([snapshot], HORIZONS).quantiles
    np.testing.assert_allclose(narrow[..., 2], wide[..., 2])
    np.testing.assert_allclose(wide[..., 4] - wide[..., 2], 3 * (narrow[..., 4] - narrow[..., 2]))


def poisson(rng: np.random.Generator, answers: float, plateau: float, exponent: float) -> Cascade:
    """The root alone is answered, `answers` times on average, with the memory's power law."""
    uniform = rng.random(rng.poisson(answers))
    knee = exponent / (1 + exponent)
    with np.errstate(over="ignore"):
        far = plateau * ((1 - uniform) * (1 + exponent)) ** (-1 / exponent)
    lags = np.where(uniform < knee, uniform / knee * plateau, far)
    return cascade_at(np.sort(np.append(0.0, lags[lags < 1e8])))


def test_the_fit_finds_the_memory_that_made_the_cascades() -> None:
    rng = np.random.default_rng(3)
    made = [poisson(rng, 300, 600.0, 0.6) for _ in range(60)]
    seen = list(observe(made, 3e9, rng, ages=4, horizons=2))
    steps: list[None] = []
    constants = fit(seen, lambda: steps.append(None))
    assert len(steps) == 25
    model = Seismic(constants)
    inside = []
    for chunk in seen:
        quantiles = model.forecast_batch(chunk.batch, chunk.horizons).quantiles
        realised = np.log2(1 + chunk.increments)
        inside.append((realised >= quantiles[..., 0]) & (realised <= quantiles[..., 4]))
    assert np.concatenate(inside).mean() == pytest.approx(0.9, abs=0.03)
    snapshots = [snapshot_at(cascade, 7_200.0) for cascade in made]
    forecast = model.forecast(snapshots, np.array([86_400.0]))
    realised = np.array([np.sum((c.delays > 7_200) & (c.delays <= 86_400)) for c in made])
    assert np.abs(forecast.quantiles[:, 0, 2] - np.log2(1 + realised)).mean() < 0.5
