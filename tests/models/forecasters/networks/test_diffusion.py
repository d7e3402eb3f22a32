"""The diffusion model learns distributions that are known, under a condition."""

import pytest
import torch
from torch import Tensor

from models.forecasters.networks.diffusion import STEPS, Denoiser, sampling_steps, signal_share

MEMBERS = 2
# Under condition 0 a normal distribution, under 1 an equal mixture of two in the first dimension.
MEANS = torch.tensor([[1.0, -1.0], [0.0, 0.5]])
DEVIATIONS = torch.tensor([[0.5, 0.2], [0.3, 0.8]])
APART = torch.tensor([[0.0, 0.0], [1.2, 0.0]])
ONE_HOT = torch.eye(2)


def drawn(kind: Tensor) -> Tensor:
    """Vectors under the conditions, shape (n, 2)."""
    sign = torch.randint(0, 2, (len(kind), 1)) * 2 - 1
    return MEANS[kind] + sign * APART[kind] + DEVIATIONS[kind] * torch.randn(len(kind), 2)


@pytest.fixture(scope="module")
def trained() -> Denoiser:
    torch.manual_seed(0)
    denoiser = Denoiser(MEMBERS, 2, 2, width=32)
    optimizer = torch.optim.Adam(denoiser.parameters())
    steps = 1_000
    for step in range(steps):
        kind = torch.randint(0, 2, (128,))
        clean = drawn(kind).expand(MEMBERS, -1, -1)
        at = torch.rand(128) * STEPS
        said = denoiser(denoiser.noised(clean, at), at, ONE_HOT[kind].expand(MEMBERS, -1, -1))
        # Little noise leaves little to err by, and makes the spread of the samples.
        weight = 1 / (1 - signal_share(at) + 0.02)[:, None]
        optimizer.zero_grad()
        (weight * (said - clean).square()).mean((1, 2)).sum().backward()
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / steps)
        optimizer.step()
    return denoiser.eval()


def sampled(denoiser: Denoiser, steps: int = 60, samples: int = 2_000) -> Tensor:
    noise = torch.randn(samples, 2, generator=torch.Generator().manual_seed(5))
    members = len(denoiser.last.weight)
    with torch.no_grad():
        return denoiser.sample(ONE_HOT.expand(members, -1, -1), noise, steps)


class Exact(Denoiser):
    """Knows what the clean vectors are expected to be under condition 0."""

    def _clean(self, noisy: Tensor, step: Tensor, conditioned: Tensor) -> Tensor:
        share = signal_share(step)[:, None]
        known = share * DEVIATIONS[0] ** 2
        return MEANS[0] + share.sqrt() * DEVIATIONS[0] ** 2 / (known + 1 - share) * (
            noisy - share.sqrt() * MEANS[0]
        )


def test_samples_of_an_exact_denoiser_come_to_its_distribution_with_the_steps() -> None:
    exact = Exact(1, 2, 2)
    short = []
    for steps in (5, 20, 80, 320):
        got = sampled(exact, steps, 4_000)[0, 0]
        torch.testing.assert_close(got.mean(0), MEANS[0], rtol=0, atol=0.03)
        short.append(1 - (got.std(0) / DEVIATIONS[0]).max())
    assert short == sorted(short, reverse=True)
    assert abs(short[-1]) < 0.05


def test_ten_steps_of_an_exact_denoiser_leave_most_of_the_spread() -> None:
    got = sampled(Exact(1, 2, 2), 10, 20_000)[0, 0]
    kept = got.std(0) / DEVIATIONS[0]
    assert (kept > 0.8).all() and (kept < 1).all()


@pytest.mark.parametrize("taken", [1, 2, 10, 40])
def test_the_steps_go_from_all_noise_to_none_evenly_in_signal_to_noise(taken: int) -> None:
    steps = sampling_steps(taken)
    assert len(steps) == taken + 1
    assert (steps[0], steps[-1]) == (STEPS, 0)
    assert (steps.diff() < 0).all()
    shares = signal_share(steps[1:-1].double())
    ratio = torch.log(shares / (1 - shares))
    torch.testing.assert_close(
        ratio.diff(),
        ratio.diff().mean().expand(max(taken - 2, 0)),
        rtol=1e-3,
        atol=1e-3,
        equal_nan=True,
    )


def test_samples_have_the_distribution_that_was_learnt(trained: Denoiser) -> None:
    got = sampled(trained)
    assert got.shape == (MEMBERS, 2, 2_000, 2)
    deviations = (DEVIATIONS**2 + APART**2).sqrt()
    for member in range(MEMBERS):
        torch.testing.assert_close(got[member].mean(1), MEANS, rtol=0, atol=0.12)
        torch.testing.assert_close(got[member].std(1), deviations, rtol=0.25, atol=0)
    # The two humps of the mixture stand apart, and neither is left out.
    first = got[:, 1, :, 0]
    for side in (first > 0.9, first < -0.9):
        assert 0.25 < side.float().mean() < 0.6
    assert (first.abs() < 0.4).float().mean() < 0.12


def test_at_full_noise_it_says_the_mean(trained: Denoiser) -> None:
    with torch.no_grad():
        said = trained(
            torch.zeros(MEMBERS, 2, 2),
            torch.full((2,), float(STEPS)),
            ONE_HOT.expand(MEMBERS, -1, -1),
        )
    for member in said:
        torch.testing.assert_close(member, MEANS, rtol=0, atol=0.15)


def test_what_is_almost_clean_is_left_as_it_is(trained: Denoiser) -> None:
    clean = drawn(torch.tensor([0, 1])).expand(MEMBERS, -1, -1)
    with torch.no_grad():
        said = trained(clean, torch.zeros(2), ONE_HOT.expand(MEMBERS, -1, -1))
    torch.testing.assert_close(said, clean, rtol=1e-3, atol=1e-3)


def test_the_same_condition_has_the_same_samples_whatever_else_is_asked(trained: Denoiser) -> None:
    noise = torch.randn(9, 2)
    many = torch.randn(MEMBERS, 4, 2)
    with torch.no_grad():
        together = trained.sample(many, noise, 6)
        torch.testing.assert_close(trained.sample(many, noise, 6), together, rtol=0, atol=0)
        alone = trained.sample(many[:, 2:3], noise, 6)
    torch.testing.assert_close(alone, together[:, 2:3], rtol=1e-4, atol=1e-4)


def test_samples_differ_by_condition_and_by_noise(trained: Denoiser) -> None:
    got = sampled(trained, steps=5, samples=10)
    assert (got[:, 0] != got[:, 1]).all()
    assert len(got[0, 0, :, 0].unique()) == 10


def test_the_noisy_vector_the_step_and_the_condition_are_used(trained: Denoiser) -> None:
    step = torch.full((5,), 400.0).requires_grad_()
    noisy = torch.randn(MEMBERS, 5, 2, requires_grad=True)
    condition = torch.rand(MEMBERS, 5, 2, requires_grad=True)
    said = trained(noisy, step, condition)
    for gradient in torch.autograd.grad(said.square().sum(), [noisy, step, condition]):
        assert (gradient.abs() > 1e-6).all()


def test_the_noise_goes_from_none_to_all() -> None:
    shares = signal_share(torch.linspace(0, STEPS, 50))
    assert float(shares[0]) == pytest.approx(1)
    assert 0 < float(shares[-1]) < 1e-3
    assert (shares.diff() < 0).all()
    torch.manual_seed(0)
    denoiser = Denoiser(1, 1, 1)
    clean = torch.full((1, 20_000, 1), 3.0)
    noisy = denoiser.noised(clean, torch.full((20_000,), 500.0))
    share = float(signal_share(torch.tensor(500.0)))
    assert float(noisy.mean()) == pytest.approx(3 * share**0.5, abs=0.03)
    assert float(noisy.var()) == pytest.approx(1 - share, rel=0.05)
