"""Every form of the scan gives what its definition gives, outputs and gradients."""

import math

import numpy as np
import pytest
import torch

from models.caches.networks.selective_scan import (
    CHUNK,
    selective_scan,
    selective_scan_chunked,
    selective_scan_reference,
)
from models.caches.networks.selective_scan_kernel import selective_scan_compiled
from models.kernels import threads

FAST = [selective_scan_chunked, selective_scan]


def _inputs(batch, length, dtype=torch.float32, channels=6, state=5, seed=0):
    random = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=random).to(dtype).requires_grad_()

    dt = torch.rand(batch, length, channels, generator=random).mul(0.5).to(dtype).requires_grad_()
    A = (-torch.rand(channels, state, generator=random) * 4 - 0.1).requires_grad_()
    elapsed = torch.rand(batch, length, generator=random) * 5 + 0.01
    x, B, C = (normal(batch, length, width) for width in (channels, state, state))
    return (x, dt, A, B, C), elapsed


@pytest.mark.parametrize("fast", FAST)
@pytest.mark.parametrize("length", [1, CHUNK - 1, CHUNK, 3 * CHUNK + 5])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("timed", [False, True])
def test_outputs_and_gradients_are_those_of_the_definition(fast, length, dtype, tolerance, timed):
    inputs, elapsed = _inputs(3, length, dtype)
    elapsed = elapsed if timed else None
    weight = torch.randn(3, length, 6, generator=torch.Generator().manual_seed(1))
    results = []
    for scan in (selective_scan_reference, fast):
        y = scan(*inputs, elapsed)
        assert y.dtype == dtype and y.shape == (3, length, 6)
        gradients = torch.autograd.grad((y.float() * weight).sum(), inputs)
        results.append([y, *gradients])
    for expected, got in zip(*results, strict=True):
        scale = expected.float().abs().max().item()
        assert (got.float() - expected.float()).abs().max().item() <= tolerance * scale


@pytest.mark.parametrize("scan", [selective_scan_reference, *FAST])
def test_no_steps_give_no_output(scan):
    inputs, _ = _inputs(3, 0)
    assert scan(*inputs).shape == (3, 0, 6)


@pytest.mark.parametrize("scan", [selective_scan_reference, *FAST])
def test_a_constant_input_approaches_the_exact_solution(scan):
    # One channel, one component: h_t = a h_{t-1} + b with a = exp(dt A), so a geometric sum.
    dt, A, steps = 0.1, -2.0, 40
    ones = torch.ones(1, steps, 1)
    y = scan(ones, dt * ones, torch.tensor([[A]]), ones, ones)
    a = math.exp(dt * A)
    exact = [dt * (1 - a ** (t + 1)) / (1 - a) for t in range(steps)]
    np.testing.assert_allclose(y[0, :, 0].numpy(), exact, rtol=1e-5)


@pytest.mark.parametrize("scan", [selective_scan_reference, *FAST])
def test_time_that_passes_in_one_step_is_time_that_passes_in_many(scan):
    # Steps without input in between change nothing but the clock.
    (x, dt, A, B, C), _ = _inputs(1, 4)
    dt = torch.full_like(dt, 0.2)
    elapsed = torch.tensor([[1.0, 3.0, 1.0, 2.0]])
    places = torch.cumsum(elapsed, 1).long()[0] - 1

    def spread(values):
        wide = torch.zeros(1, 7, values.shape[2])
        wide[:, places] = values.detach()
        return wide

    close = scan(x, dt, A, B, C, elapsed)
    apart = scan(spread(x), torch.full((1, 7, 6), 0.2), A, spread(B), spread(C))
    torch.testing.assert_close(apart[:, places], close, rtol=1e-5, atol=1e-6)


def test_long_times_neither_overflow_nor_forget_to_forget():
    inputs, _ = _inputs(2, 20)
    for scan in (selective_scan_reference, *FAST):
        y = scan(*inputs, torch.full((2, 20), 1e6))
        alone = [scan(*[i[:, t : t + 1] if i.ndim == 3 else i for i in inputs]) for t in range(20)]
        torch.testing.assert_close(y, torch.cat(alone, 1), rtol=1e-5, atol=1e-6)


def test_a_ragged_sequence_does_not_depend_on_its_neighbours():
    (x, dt, A, B, C), elapsed = _inputs(1, 30)
    rows = [t.detach()[0] for t in (x, dt, B, C)]
    offsets = np.array([0, 7, 7, 20, 30])

    def scan(first, last):
        a, b, c, d = (t[first:last] for t in rows)
        inner = offsets[(offsets >= first) & (offsets <= last)] - first
        return selective_scan_compiled(a, b, A.detach(), c, d, elapsed[0, first:last], inner)

    together = scan(0, 30)
    assert torch.equal(together[7:20], scan(7, 20))
    assert torch.equal(together[20:], scan(20, 30))


def test_two_threads_give_the_gradient_of_one():
    inputs, elapsed = _inputs(8, 16)
    before = threads.count()
    found = []
    try:
        for count in (1, 2):
            threads.limit(count)
            y = selective_scan(*inputs, elapsed)
            found.append(torch.autograd.grad(y.square().sum(), inputs))
    finally:
        threads.limit(before)
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)
