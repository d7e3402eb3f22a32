"""CasFT: trends that are drawn, the point that the head makes of their mean, and the spread."""

import numpy as np
import pytest
import torch

from models.cascades.batch import gather
from models.data.datasets import snapshot_at
from models.forecasters import casft, concat
from models.forecasters.concat import Observed, observe
from models.forecasters.networks.casft import CasFTNetwork
from models.forecasters.networks.concat import Targets
from models.interface import LEVELS
from tests.models.recorded import made

N, HORIZONS, PARTS, SAMPLES = 12, 2, 4, 6


def network_of(trend: str = "diffusion") -> CasFTNetwork:
    torch.manual_seed(0)
    base = concat.Config(components=("likelihood",), members=2, width=8, head=12, bins=4)
    config = casft.Config(base=base, trend=trend, parts=PARTS, samples=SAMPLES, steps=4)
    network = CasFTNetwork(config)
    network.fit_inputs(*seen())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def seen() -> tuple[Observed, Targets]:
    batch = gather([snapshot_at(cascade, 3_600.0) for cascade in made(N)])
    horizons = np.tile([7_200.0, 86_400.0], (N, 1))
    observed = observe(batch, np.arange(N), batch.ages, batch.counts, horizons)
    trend = torch.rand(N, HORIZONS, PARTS, generator=torch.Generator().manual_seed(1)) * 5
    return observed, Targets(trend.sum(-1), trend, torch.ones(N))


def test_an_unknown_trend_is_refused() -> None:
    with pytest.raises(ValueError, match="got trend 'luck'; expected one of diffusion, regression"):
        casft.Config(trend="luck")


def test_trends_are_counts_of_the_parts_and_differ_by_draw() -> None:
    network = network_of()
    got = network.trends(seen()[0])
    assert got.shape == (2 * SAMPLES, N, HORIZONS, PARTS)
    assert (got >= 0).all()
    assert (got[:SAMPLES].std(axis=0) > 0).any()
    np.testing.assert_array_equal(network.trends(seen()[0]), got)
    mean = network_of("regression").trends(seen()[0])
    assert mean.shape == (2, N, HORIZONS, PARTS)


def test_the_quantiles_are_those_of_the_totals_of_trends_about_the_mean() -> None:
    network = network_of()
    observed, _ = seen()
    mean, quantiles = network.predict(observed)
    totals = np.log2(1 + (np.exp2(network.trends(observed)) - 1).sum(axis=-1))
    about = totals - totals.mean(axis=0) + mean
    expected = np.moveaxis(np.quantile(about, LEVELS, axis=0), 0, -1)
    np.testing.assert_allclose(quantiles, expected, atol=1e-5)
    assert (np.diff(quantiles, axis=-1) >= 0).all()


@pytest.mark.parametrize("trend", casft.TRENDS)
def test_the_point_needs_no_sampling_and_is_the_mean(trend: str) -> None:
    network = network_of(trend)
    observed, _ = seen()
    mean, quantiles = network.predict(observed)
    np.testing.assert_array_equal(network.point(observed), mean)
    assert mean.shape == (N, HORIZONS)
    assert quantiles.shape == (N, HORIZONS, len(LEVELS))
    np.testing.assert_array_equal(network.predict(observed)[0], mean)


@pytest.mark.parametrize("trend", casft.TRENDS)
def test_the_loss_reaches_every_weight(trend: str) -> None:
    network = network_of(trend).train()
    torch.manual_seed(1)
    network.loss(*seen()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert (parameter.grad != 0).any(), name


def test_the_forecast_depends_on_the_trend() -> None:
    network = network_of()
    observed, _ = seen()
    before, _ = network.predict(observed)
    with torch.no_grad():
        network.denoiser.last.bias.add_(1.0)
    after, _ = network.predict(observed)
    assert (np.abs(after - before) > 1e-4).any()


def test_the_conditions_know_the_expected_events_of_each_part() -> None:
    network = network_of()
    observed, _ = seen()
    with torch.no_grad():
        _, read, _ = network.conditions(observed)
        state, _, _ = network.front.states(observed)
    width = network.config.base.width
    torch.testing.assert_close(read[:, :, 0, :width], state)
    expected = read[..., width:]
    assert expected.shape == (2, N, HORIZONS, PARTS)
    assert (expected > 0).all()
    # The further horizon has longer parts, so its first holds more.
    assert (expected[:, :, 1, 0] > expected[:, :, 0, 0]).float().mean() > 0.9
