"""The compiled scan against `jump_loop`, the definition: states and gradients, by dtype."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from models.forecasters.networks.flows import NeuralFlow
from models.forecasters.networks.jump_ode import JumpODE, jump_loop
from models.kernels import threads as kernel_threads

MEMBERS, WIDTH = 2, 6
# Of the compiled scan in float32 against the definition in that precision.
TOLERANCE = {torch.float32: 2e-5, torch.float64: 5e-5}
LENGTHS = [[7, 0, 1, 20, 3], [0, 0, 5], [1], [0], [], [40, 1, 1, 0, 2, 33, 9]]


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = kernel_threads.count()
    kernel_threads.limit(request.param)
    yield request.param
    kernel_threads.limit(before)


def model_of(width: int = WIDTH) -> JumpODE:
    torch.manual_seed(1)
    model = JumpODE(MEMBERS, width)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def ragged(
    lengths: Sequence[int], width: int = WIDTH, seed: int = 0
) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
    """What jumps bring, their clocks (with ties), and offsets."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    clocks = [np.sort(rng.uniform(0, 8, length)).round(1) for length in lengths]
    clock = np.concatenate([np.empty(0), *clocks]).astype(np.float32)
    inputs = rng.normal(size=(MEMBERS, len(clock), 3 * width)).astype(np.float32)
    return torch.from_numpy(inputs), torch.from_numpy(clock), offsets


def outcome(model: JumpODE, lengths: Sequence[int], loop: bool) -> dict[str, Tensor]:
    """States of a scan and gradients of a function of them."""
    dtype = model.start.dtype
    inputs, clock, offsets = ragged(lengths, model.start.shape[1])
    inputs, clock = inputs.to(dtype).requires_grad_(), clock.to(dtype)
    model.zero_grad()
    if loop:
        before, after = jump_loop(inputs, clock, offsets, model)
    else:
        before, after = model(inputs, clock, offsets)
    shares = torch.linspace(-1, 1, before.numel(), dtype=dtype).view_as(before)
    total = (shares * before + (after + shares) ** 2).sum()
    if total.requires_grad:  # without a jump the loop has nothing to differentiate
        total.backward()
    found = {"before": before.detach(), "after": after.detach(), "d_inputs": inputs.grad}
    return found | {f"d_{name}": p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_the_compiled_scan_is_the_loop_in_states_and_gradients(
    lengths: list[int], dtype: torch.dtype, threads: int
) -> None:
    got = outcome(model_of(), lengths, loop=False)
    expected = outcome(model_of().to(dtype), lengths, loop=True)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        value = torch.zeros_like(got[name]) if value is None else value
        scale = max(1.0, float(value.abs().max())) if value.numel() else 1.0
        tolerance = TOLERANCE[dtype] * scale
        torch.testing.assert_close(
            got[name].to(dtype),
            value.to(dtype),
            rtol=0,
            atol=tolerance,
            msg=lambda m, n=name: n + m,
        )


@pytest.mark.parametrize("width", [1, 3, 4, 17])
def test_any_width_will_do(width: int) -> None:
    got, expected = (outcome(model_of(width), [5, 0, 9], loop) for loop in (False, True))
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-4, atol=1e-4)


def test_the_loop_has_the_gradients_of_differences() -> None:
    model = model_of(2).double()
    inputs, clock, offsets = ragged([2, 0, 3], 2)

    def states(inputs: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
        return jump_loop(inputs, clock.double(), offsets, model)

    assert torch.autograd.gradcheck(states, (inputs.double().requires_grad_(), *model.parameters()))


def test_the_unit_is_that_of_pytorch_with_the_update_gate_turned() -> None:
    model = model_of()
    with torch.no_grad():
        model.flow.log_rate.fill_(-30)
        model.flow.level.zero_()
        model.flow.slope.zero_()
    inputs, clock, offsets = ragged([12])
    before, after = model(inputs, clock, offsets)
    cell = torch.nn.GRUCell(3 * WIDTH, WIDTH)
    for member in range(MEMBERS):
        with torch.no_grad():
            cell.weight_ih.copy_(torch.eye(3 * WIDTH))
            cell.bias_ih.zero_()
            cell.weight_hh.copy_(model.recurrent[member].T)
            cell.bias_hh.copy_(model.bias[member])
        state = model.start[member][None]
        for jump in range(12):
            torch.testing.assert_close(before[member, jump], state[0], rtol=1e-4, atol=1e-5)
            state = cell(inputs[member, jump][None], state)
            torch.testing.assert_close(after[member, jump], state[0], rtol=1e-4, atol=1e-5)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(0, 1_000))
def test_a_sequence_does_not_depend_on_the_others_to_the_bit(lengths: list[int], seed: int) -> None:
    model = model_of()
    inputs, clock, offsets = ragged(lengths, seed=seed)
    with torch.no_grad():
        together = model(inputs, clock, offsets)
        for index, length in enumerate(lengths):
            own = slice(int(offsets[index]), int(offsets[index + 1]))
            alone = model(inputs[:, own], clock[own], np.array([0, length]))
            for one, all_ in zip(alone, together, strict=True):
                assert torch.equal(one, all_[:, own])


@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(2, 4))
def test_threads_change_no_bit_of_the_states(lengths: list[int], more: int) -> None:
    model = model_of()
    inputs, clock, offsets = ragged(lengths)
    before = kernel_threads.count()
    try:
        with torch.no_grad():
            kernel_threads.limit(1)
            one = model(inputs, clock, offsets)
            kernel_threads.limit(more)
            many = model(inputs, clock, offsets)
    finally:
        kernel_threads.limit(before)
    assert all(torch.equal(a, b) for a, b in zip(one, many, strict=True))


def test_a_later_jump_changes_nothing_before_it() -> None:
    model = model_of()
    inputs, clock, offsets = ragged([10, 8])
    other = inputs.clone()
    other[:, 6] += 1
    with torch.no_grad():
        (before, after), (before_, after_) = (model(x, clock, offsets) for x in (inputs, other))
    assert torch.equal(before[:, :7], before_[:, :7])
    assert torch.equal(after[:, :6], after_[:, :6])
    assert not torch.equal(after[:, 6:10], after_[:, 6:10])
    assert torch.equal(after[:, 10:], after_[:, 10:])


def test_another_flow_goes_through_the_loop() -> None:
    torch.manual_seed(0)
    model = JumpODE(MEMBERS, WIDTH, NeuralFlow(MEMBERS, WIDTH))
    inputs, clock, offsets = ragged([4, 0, 6])
    before, after = model(inputs, clock, offsets)
    assert before.shape == after.shape == (MEMBERS, 10, WIDTH)
    start = model.flow(model.start[:, None], torch.zeros(1), clock[:1])
    torch.testing.assert_close(before[:, :1], start)
    after.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
