"""States at observations against the scan and the flow that they are shorthand for."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from models.forecasters.jump_ode.states import JumpWeights, jump_shapes, states_at
from models.forecasters.networks.jump_ode import JumpODE
from models.kernels import threads as kernel_threads
from models.learning.layers import MemberLinear
from models.learning.weights import weights_of

MEMBERS, WIDTH, INPUTS, ENCODED = 2, 6, 5, 3


def model_of() -> tuple[MemberLinear, JumpODE]:
    torch.manual_seed(2)
    read, ode = MemberLinear(MEMBERS, INPUTS + ENCODED, 3 * WIDTH), JumpODE(MEMBERS, WIDTH)
    with torch.no_grad():
        for parameter in [*read.parameters(), *ode.parameters()]:
            parameter.add_(0.2 * torch.randn_like(parameter))
    return read, ode


def weights() -> JumpWeights:
    read, ode = model_of()
    return JumpWeights.of(weights_of(nn.ModuleDict({"read": read, "ode": ode})))


class Asked:
    """Sequences, and observations of them in no order, some before any jump."""

    def __init__(self, lengths: list[int], observations: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        clocks = [np.sort(rng.uniform(0, 8, length)) for length in lengths]
        self.clock = np.concatenate([np.empty(0), *clocks]).astype(np.float32)
        self.inputs = rng.normal(size=(len(self.clock), INPUTS)).astype(np.float32)
        self.encoded = rng.normal(size=(MEMBERS, len(self.clock), ENCODED)).astype(np.float32)
        self.jump = np.full(observations, -1, np.int64)
        self.until = rng.uniform(0, 10, observations).astype(np.float32)
        for index, row in enumerate(rng.integers(0, len(lengths), observations)):
            own = self.clock[self.offsets[row] : self.offsets[row + 1]]
            seen = int(np.searchsorted(own, self.until[index], side="right"))
            if seen:
                self.jump[index] = self.offsets[row] + seen - 1

    def states(self, chosen: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        chosen = np.arange(len(self.jump)) if chosen is None else chosen
        return states_at(
            self.jump[chosen], self.until[chosen],
            self.inputs, self.encoded, self.clock, self.offsets, weights(),
        )  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("lengths", [[5, 0, 9, 1], [0, 0, 3], [0], [4]], ids=str)
def test_states_are_those_of_the_scan_carried_on(
    lengths: list[int], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(lengths, 20, seed=4)
    read, ode = model_of()
    with torch.no_grad():
        shared = torch.from_numpy(asked.inputs).expand(MEMBERS, -1, -1)
        x = read(torch.cat([shared, torch.from_numpy(asked.encoded)], -1))
        clock, until = torch.from_numpy(asked.clock), torch.from_numpy(asked.until)
        _, after = ode(x, clock, asked.offsets)
        expected = torch.empty(MEMBERS, 20, WIDTH)
        for index, jump in enumerate(asked.jump):
            state = ode.start if jump < 0 else after[:, jump]
            since = torch.zeros(1) if jump < 0 else clock[jump : jump + 1]
            expected[:, index] = ode.flow(state[:, None], since, until[index : index + 1])[:, 0]
    monkeypatch.setattr(kernel_threads, "_count", threads)
    got = asked.states()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(1, 9), st.integers(0, 99))
def test_a_state_does_not_depend_on_what_else_is_asked_to_the_bit(
    lengths: list[int], observations: int, seed: int
) -> None:
    asked = Asked(lengths, observations, seed)
    together = asked.states()
    for index in range(observations):
        np.testing.assert_array_equal(asked.states(np.array([index]))[:, 0], together[:, index])


def test_nothing_asked_gives_nothing() -> None:
    asked = Asked([3, 2], 0, seed=0)
    assert asked.states().shape == (MEMBERS, 0, WIDTH)


def test_the_shapes_are_those_of_the_modules() -> None:
    read, ode = model_of()
    found = weights_of(nn.ModuleDict({"read": read, "ode": ode}))
    assert {name: value.shape for name, value in found.items()} == jump_shapes(
        MEMBERS, INPUTS + ENCODED, WIDTH
    )
