"""Layers of the networks: members apart, encodings at their edges, quantiles in order."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.interface import LEVELS
from models.learning.layers import OUTPUTS, Head, MemberLinear, PiecewiseLinear, ordered, pinball


def fitted(values: list[float], bins: int) -> PiecewiseLinear:
    layer = PiecewiseLinear(1, bins)
    layer.fit(np.array(values)[:, None])
    return layer


def encoded(layer: PiecewiseLinear, *values: float) -> list[list[float]]:
    return layer(torch.tensor(values)[:, None]).tolist()


def test_a_member_is_a_layer_of_its_own() -> None:
    layer = MemberLinear(3, 4, 2)
    inputs = torch.randn(3, 5, 4)
    for member in range(3):
        expected = inputs[member] @ layer.weight[member] + layer.bias[member]
        torch.testing.assert_close(layer(inputs)[member], expected)


def test_a_number_is_its_position_within_each_bin() -> None:
    layer = fitted([0.0, 1.0, 3.0, 7.0, 15.0], 4)
    assert layer.outputs == 4
    assert encoded(layer, 0.0, 0.5, 2.0, 7.0, 11.0, 15.0) == [
        [0, 0, 0, 0],
        [0.5, 0, 0, 0],
        [1, 0.5, 0, 0],
        [1, 1, 1, 0],
        [1, 1, 1, 0.5],
        [1, 1, 1, 1],
    ]


def test_outside_of_what_was_seen_an_encoding_stays_at_its_ends() -> None:
    layer = fitted([0.0, 1.0, 3.0], 2)
    assert encoded(layer, -1e30, 1e30) == [[0, 0], [1, 1]]


@pytest.mark.parametrize("value", [0.0, 3.0, -1e6])
def test_a_constant_encodes_as_nothing(value: float) -> None:
    assert encoded(fitted([value] * 10, 3), value, value + 1, value - 1) == [[0, 0, 0]] * 3


def test_a_value_that_is_most_of_the_data_leaves_bins_empty() -> None:
    layer = fitted([0.0] * 90 + [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0], 4)
    assert encoded(layer, 0.0) == [[0, 0, 0, 0]]
    [[*empty, last]] = encoded(layer, 5.0)
    assert empty == [0, 0, 0]
    assert 0 < last < 1


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=30), st.integers(1, 8))
def test_encodings_grow_with_the_number_and_stay_within_0_and_1(
    values: list[float], bins: int
) -> None:
    layer = fitted(values, bins)
    got = layer(torch.tensor(sorted(values))[:, None])
    assert got.isfinite().all()
    assert ((got >= 0) & (got <= 1)).all()
    assert (got.diff(dim=0) >= 0).all()


def test_quantiles_come_in_order_about_the_median() -> None:
    raw = torch.randn(4, 3, len(LEVELS)) * 3
    got = ordered(raw)
    assert (got.diff(dim=-1) > 0).all()
    torch.testing.assert_close(got[..., 2], raw[..., 0])
    steps = torch.nn.functional.softplus(raw[..., 1:] - 0.5)
    torch.testing.assert_close(got[..., 0], raw[..., 0] - steps[..., 0] - steps[..., 1])
    torch.testing.assert_close(got[..., 4], raw[..., 0] + steps[..., 2] + steps[..., 3])


def test_the_pinball_loss_is_least_at_the_quantiles() -> None:
    targets = torch.from_numpy(np.random.default_rng(0).exponential(size=4_001))
    grid = torch.linspace(0, 5, 1_001, dtype=torch.float64)
    losses = pinball(grid[:, None, None].expand(-1, 4_001, len(LEVELS)), targets).mean(1)
    best = grid[losses.argmin(0)]
    torch.testing.assert_close(
        best, torch.from_numpy(np.quantile(targets.numpy(), LEVELS)), rtol=0, atol=0.02
    )


def test_the_pinball_loss_by_hand() -> None:
    quantiles = torch.full((1, len(LEVELS)), 2.0)
    assert pinball(quantiles, torch.tensor([3.0]))[0].tolist() == pytest.approx(LEVELS.tolist())
    assert pinball(quantiles, torch.tensor([1.0]))[0].tolist() == pytest.approx(
        (1 - LEVELS).tolist()
    )


def test_a_head_starts_at_the_mean_it_is_given() -> None:
    head = Head(2, 6, 8, dropout=0.5).eval()
    with torch.no_grad():
        head.last.weight.zero_()
    head.start_at(4.5)
    mean, quantiles = head(torch.randn(2, 3, 4, 6))
    assert mean.shape == (2, 3, 4)
    assert quantiles.shape == (2, 3, 4, OUTPUTS - 1)
    assert (mean == 4.5).all()
    assert (quantiles[..., 2] == 4.5).all()


def test_the_questions_to_an_observation_drop_out_the_same_numbers() -> None:
    torch.manual_seed(0)
    head = Head(2, 30, 16, dropout=0.5).train()
    inputs = torch.randn(2, 5, 1, 30).expand(-1, -1, 3, -1)
    mean, _ = head(inputs)
    torch.testing.assert_close(mean[..., 0], mean[..., 1])
    torch.testing.assert_close(mean[..., 0], mean[..., 2])
    again, _ = head(inputs)
    assert not torch.equal(mean, again)
    assert torch.equal(head.eval()(inputs)[0], head(inputs)[0])
