"""Flows against exact solutions and against the adaptive solver, forward and in their gradients."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.cascades.clock import clock_of
from models.forecasters.networks.flows import Adaptive, AffineFlow, Flow, NeuralFlow

MEMBERS, N, WIDTH = 2, 7, 5
FLOWS = {"affine": AffineFlow, "neural": NeuralFlow}


def flow_of(name: str, dtype: torch.dtype = torch.float64) -> Flow:
    torch.manual_seed(3)
    flow = FLOWS[name](MEMBERS, WIDTH).to(dtype)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return flow


def gaps(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """States, and when they are and are asked for: gaps of 0 to about 1."""
    generator = torch.Generator().manual_seed(0)
    state = torch.randn(MEMBERS, N, WIDTH, generator=generator, dtype=dtype)
    since = 5 * torch.rand(N, generator=generator, dtype=dtype)
    return state, since, since + torch.linspace(0, 1, N, dtype=dtype)


def test_the_clock_is_the_logarithm_of_minutes() -> None:
    got = clock_of(np.array([-5.0, 0.0, 60.0, 86_400.0]))
    assert got.dtype == np.float32
    assert got.tolist() == pytest.approx([0, 0, np.log(2), np.log(1441)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_closed_form_is_the_exact_solution(dtype: torch.dtype) -> None:
    # dh/ds = -2 (h - 1 - 3 s) + 3 from h(0) = 5: h = 1 + 3 s + 4 exp(-2 s).
    flow = AffineFlow(1, 1).to(dtype)
    with torch.no_grad():
        flow.log_rate.fill_(np.log(2))
        flow.level.fill_(1)
        flow.slope.fill_(3)
    until = torch.linspace(0, 4, 9, dtype=dtype)
    got = flow(torch.full((1, 9, 1), 5, dtype=dtype), torch.zeros(9, dtype=dtype), until)
    exact = 1 + 3 * until + 4 * torch.exp(-2 * until)
    torch.testing.assert_close(got[0, :, 0], exact)


@pytest.mark.parametrize("name", FLOWS)
def test_the_derivative_is_the_slope_of_the_flow(name: str) -> None:
    flow, (state, since, _) = flow_of(name), gaps()
    step = 1e-6
    rise = (flow(state, since, since + step) - state) / step
    torch.testing.assert_close(rise, flow.derivative(since, state), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FLOWS)
def test_a_moment_before_the_state_counts_as_its_own(name: str) -> None:
    flow, (state, since, _) = flow_of(name), gaps()
    torch.testing.assert_close(flow(state, since, since - 1), state)


def test_two_gaps_are_as_one() -> None:
    flow, (state, since, until) = flow_of("affine"), gaps()
    middle = (since + until) / 2
    torch.testing.assert_close(flow(flow(state, since, middle), middle, until),
                               flow(state, since, until))  # fmt: skip


def test_members_flow_on_their_own() -> None:
    for name in FLOWS:
        flow, (state, since, until) = flow_of(name), gaps()
        other = state.clone()
        other[1] += 1
        assert torch.equal(flow(other, since, until)[0], flow(state, since, until)[0])


def outcome(flow: Flow, under: Flow) -> list[Tensor]:
    """The states of a flow and the gradients of a function of them, parameters of `under`."""
    state, since, until = gaps()
    state.requires_grad_()
    got = flow(state, since, until)
    weights = torch.linspace(-1, 1, got.numel(), dtype=got.dtype).view_as(got)
    return [got, *torch.autograd.grad((weights * got**2).sum(), [state, *under.parameters()])]


@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("name", FLOWS)
def test_flows_agree_with_the_adaptive_solver_in_states_and_gradients(
    name: str, adjoint: bool
) -> None:
    flow = flow_of(name)
    adaptive = Adaptive(flow, tolerance=1e-7, adjoint=adjoint)
    for got, expected in zip(outcome(flow, flow), outcome(adaptive, flow), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)


def test_gradients_of_flows_are_those_of_differences() -> None:
    state, since, until = gaps()
    for name in FLOWS:
        flow = flow_of(name)
        assert torch.autograd.gradcheck(
            lambda s, *_, flow=flow: flow(s, since, until),
            (state.requires_grad_(), *flow.parameters()),
        )
