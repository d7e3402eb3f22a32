"""The encoder is causal; its kernel says the same, and of a cascade whatever the others are."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from models.forecasters.jump_ode.encoder_states import WIDTH, encodings, shapes
from models.forecasters.networks.encoder import Encoder
from models.kernels import threads as kernel_threads
from models.learning.weights import weights_of

MEMBERS, INPUTS, USERS = 2, 6, 3
OFFSETS = np.array([0, 7, 7, 8, 20])


def encoder_of(users: int) -> Encoder:
    torch.manual_seed(0)
    return Encoder(MEMBERS, INPUTS, users).eval()


def kernel(
    encoder: Encoder, inputs: Tensor, who: Tensor | None, clock: Tensor, offsets: np.ndarray
) -> np.ndarray:
    users = None if who is None else who.numpy()
    return encodings(weights_of(encoder), inputs.numpy(), users, clock.numpy(), offsets)


def jumps(users: int) -> tuple[Tensor, Tensor | None, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(20, INPUTS, generator=generator)
    who = torch.randn(20, users, generator=generator) if users else None
    clock = torch.cat([torch.rand(stop - start, generator=generator).sort().values * 8
                       for start, stop in itertools.pairwise(OFFSETS)])  # fmt: skip
    return inputs, who, clock


@pytest.mark.parametrize("users", [0, USERS])
def test_a_later_jump_changes_nothing_before_it(users: int) -> None:
    encoder = encoder_of(users)
    inputs, who, clock = jumps(users)
    with torch.no_grad():
        got = encoder(inputs, who, clock, OFFSETS)
        assert got.shape == (MEMBERS, 20, encoder.outputs)
        assert encoder.outputs == WIDTH * (2 if users else 1)
        other = inputs.clone()
        other[12] += 1
        changed = encoder(other, who, clock, OFFSETS)
    torch.testing.assert_close(changed[:, :12], got[:, :12])
    assert (changed[:, 12:] != got[:, 12:]).any(-1).all()


@pytest.mark.parametrize("users", [0, USERS])
def test_cascades_together_are_as_each_alone(users: int) -> None:
    encoder = encoder_of(users)
    inputs, who, clock = jumps(users)
    with torch.no_grad():
        together = encoder(inputs, who, clock, OFFSETS)
        for start, stop in itertools.pairwise(OFFSETS):
            own = slice(int(start), int(stop))
            alone = encoder(
                inputs[own],
                None if who is None else who[own],
                clock[own],
                np.array([0, stop - start]),
            )
            torch.testing.assert_close(alone, together[:, own], rtol=1e-5, atol=1e-5)


def test_the_time_and_the_users_matter() -> None:
    encoder = encoder_of(USERS)
    inputs, who, clock = jumps(USERS)
    assert who is not None
    with torch.no_grad():
        got = encoder(inputs, who, clock, OFFSETS)
        assert (encoder(inputs, who, clock + 0.5, OFFSETS) != got)[..., :WIDTH].any()
        assert (encoder(inputs, who + 0.5, clock, OFFSETS) != got)[..., WIDTH:].any()


def test_no_jumps_encode_as_none() -> None:
    encoder = encoder_of(USERS)
    for offsets in (np.array([0]), np.array([0, 0, 0])):
        none = torch.empty(0)
        got = encoder(torch.empty(0, INPUTS), torch.empty(0, USERS), none, offsets)
        assert got.shape == (MEMBERS, 0, encoder.outputs)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("users", [0, USERS])
def test_the_kernel_says_the_same(
    users: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = encoder_of(users)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        inputs, who, clock = jumps(users)
        expected = encoder(inputs, who, clock, OFFSETS)
    monkeypatch.setattr(kernel_threads, "_count", threads)
    got = kernel(encoder, inputs, who, clock, OFFSETS)
    assert expected.abs().max() > 1
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("users", [0, USERS])
def test_the_kernel_says_of_a_cascade_what_it_says_of_it_alone_to_the_bit(users: int) -> None:
    encoder = encoder_of(users)
    inputs, who, clock = jumps(users)
    together = kernel(encoder, inputs, who, clock, OFFSETS)
    for start, stop in itertools.pairwise(OFFSETS):
        own, offsets = slice(int(start), int(stop)), np.array([0, stop - start])
        of_users = None if who is None else who[own]
        alone = kernel(encoder, inputs[own], of_users, clock[own], offsets)
        np.testing.assert_array_equal(alone, together[:, own])


@pytest.mark.parametrize("users", [0, USERS])
def test_the_shapes_are_those_of_the_module(users: int) -> None:
    found = {name: value.shape for name, value in weights_of(encoder_of(users)).items()}
    assert found == shapes(MEMBERS, INPUTS, users)
