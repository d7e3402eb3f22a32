"""The encoder is causal, and what it says of a cascade does not depend on the others."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from models.encoder import WIDTH, Encoder

MEMBERS, INPUTS, USERS = 2, 6, 3
OFFSETS = np.array([0, 7, 7, 8, 20])


def encoder_of(users: int) -> Encoder:
    torch.manual_seed(0)
    return Encoder(MEMBERS, INPUTS, users).eval()


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
