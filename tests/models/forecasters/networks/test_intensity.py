"""The point process of events: integrals by quadrature, likelihoods worked out one by one."""

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import gammaln
from scipy.stats import poisson
from torch import Tensor

from models.forecasters.networks.intensity import Intensity
from models.forecasters.networks.jump_ode import JumpODE

MEMBERS, WIDTH = 2, 4
OFFSETS = np.array([0, 5, 5, 6, 10])
CLOCK = torch.tensor([0.1, 0.8, 0.8, 1.9, 2.5, 3.0, 0.0, 1.0, 1.5, 4.0], dtype=torch.float64)
MULTIPLICITY = torch.tensor([1.0, 1, 1, 6, 3, 1, 1, 1, 2, 40], dtype=torch.float64)
SUMMARISED = MULTIPLICITY > 1
FIRSTS = {0, 5, 6}


@pytest.fixture(scope="module")
def ode() -> JumpODE:
    torch.manual_seed(0)
    ode = JumpODE(MEMBERS, WIDTH).double()
    with torch.no_grad():
        for parameter in ode.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return ode


@pytest.fixture(scope="module")
def intensity() -> Intensity:
    torch.manual_seed(1)
    intensity = Intensity(MEMBERS, WIDTH).double()
    with torch.no_grad():
        intensity.outer.bias.add_(1.5)
    return intensity


def states(ode: JumpODE) -> tuple[Tensor, Tensor]:
    inputs = torch.randn(
        MEMBERS, len(CLOCK), 3 * WIDTH, dtype=torch.float64,
        generator=torch.Generator().manual_seed(2),
    )  # fmt: skip
    return ode(inputs, CLOCK, OFFSETS)


def of_jumps(ode: JumpODE, intensity: Intensity) -> tuple[Tensor, Tensor]:
    return intensity.of_jumps(*states(ode), CLOCK, MULTIPLICITY, SUMMARISED, OFFSETS, ode)


def test_expected_events_are_the_integral_of_the_intensity_along_the_flow(
    ode: JumpODE, intensity: Intensity
) -> None:
    state = torch.randn(MEMBERS, 3, WIDTH, dtype=torch.float64)
    since = torch.tensor([0.0, 1.0, 5.0], dtype=torch.float64)
    until = since + torch.tensor([0.02, 0.3, 1.0], dtype=torch.float64)
    with torch.no_grad():
        got = intensity.between(state, since, until, ode.flow)

        def rate(clock: float, member: int, row: int) -> float:
            carried = ode.flow(
                state[:, row : row + 1], since[row : row + 1], torch.tensor([clock]).double()
            )
            return float(intensity(carried)[member, 0])

        for member in range(MEMBERS):
            for row in range(3):
                exact = quad(rate, float(since[row]), float(until[row]), (member, row))[0]
                assert float(got[member, row]) == pytest.approx(exact, rel=1e-4)


def test_no_time_expects_nothing(ode: JumpODE, intensity: Intensity) -> None:
    state, moment = torch.randn(MEMBERS, 1, WIDTH).double(), torch.tensor([2.0]).double()
    assert (intensity.between(state, moment, moment, ode.flow) == 0).all()
    assert (intensity.between(state, moment, moment - 1, ode.flow) == 0).all()


def gaps(ode: JumpODE, intensity: Intensity) -> NDArray[np.float64]:
    """Expected events since the jump before, shape (members, jumps); 0 at a cascade's first."""
    _, after = states(ode)
    found = np.zeros((MEMBERS, len(CLOCK)))
    for jump in range(len(CLOCK)):
        if jump not in FIRSTS:
            own = intensity.between(
                after[:, jump - 1 : jump], CLOCK[jump - 1 : jump], CLOCK[jump : jump + 1], ode.flow
            )
            found[:, jump] = own[:, 0].detach().numpy()
    return found


def test_expected_events_add_up_along_a_cascade(ode: JumpODE, intensity: Intensity) -> None:
    expected, _ = of_jumps(ode, intensity)
    each = gaps(ode, intensity)
    for first, last in itertools.pairwise(OFFSETS):
        np.testing.assert_allclose(
            expected[:, first:last].detach(), each[:, first:last].cumsum(1), rtol=1e-9
        )


def test_the_likelihood_is_that_of_events_and_of_poisson_counts(
    ode: JumpODE, intensity: Intensity
) -> None:
    before, _ = states(ode)
    _, likelihood = of_jumps(ode, intensity)
    rates = intensity(before).detach().numpy()
    each = gaps(ode, intensity)
    total = 0.0
    for member in range(MEMBERS):
        for jump in set(range(len(CLOCK))) - FIRSTS:
            mean, count = each[member, jump], int(MULTIPLICITY[jump])
            if SUMMARISED[jump]:
                # Up to log(count!), which no parameter changes.
                total += poisson.logpmf(count, mean) + gammaln(count + 1)
            else:
                total += np.log(rates[member, jump]) - mean
    events = sum(float(MULTIPLICITY[jump]) for jump in set(range(len(CLOCK))) - FIRSTS)
    assert float(likelihood.detach()) == pytest.approx(total / events, rel=1e-6)


def test_gradients_are_finite_where_events_fall_together(
    ode: JumpODE, intensity: Intensity
) -> None:
    _, likelihood = of_jumps(ode, intensity)
    found = torch.autograd.grad(likelihood, [*ode.parameters(), *intensity.parameters()])
    assert all(gradient.isfinite().all() for gradient in found)
    assert any((gradient != 0).any() for gradient in found)


def test_what_a_cascade_expects_does_not_drown_in_what_others_do() -> None:
    torch.manual_seed(3)
    ode, intensity = JumpODE(1, WIDTH), Intensity(1, WIDTH)
    with torch.no_grad():
        intensity.outer.bias.fill_(500.0)
    small, sequences = 3, 2_000
    clock = torch.tensor([0.0, 1e-4, 2e-4]).repeat(sequences)
    clock.view(sequences, small)[:-1] *= 1e4
    offsets = np.arange(0, small * sequences + 1, small)
    inputs = torch.zeros(1, len(clock), 3 * WIDTH)
    ones, exact = torch.ones(len(clock)), torch.zeros(len(clock), dtype=torch.bool)
    with torch.no_grad():
        together, _ = intensity.of_jumps(
            *ode(inputs, clock, offsets), clock, ones, exact, offsets, ode
        )
        last, own = clock[-small:], np.array([0, small])
        alone, _ = intensity.of_jumps(
            *ode(inputs[:, :small], last, own), last, ones[:small], exact[:small], own, ode
        )
    assert together[0, :-small].max() > 100
    torch.testing.assert_close(together[:, -small:], alone, rtol=1e-5, atol=1e-6)
