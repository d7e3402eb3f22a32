"""Compiled layers against the torch layers that they are of, and each row by itself."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from models.kernels import dense
from models.learning.layers import OUTPUTS, Head, PiecewiseLinear
from models.learning.weights import weights_of

MEMBERS, COLUMNS, BINS = 3, 5, 4


def layers_of(width: int, beside: int = 0, hidden: int = 10) -> tuple[PiecewiseLinear, Head]:
    torch.manual_seed(0)
    table = PiecewiseLinear(COLUMNS, BINS)
    values = np.random.default_rng(0).normal(size=(200, COLUMNS))
    values[:, 1] = 3.0
    table.fit(values)
    head = Head(MEMBERS, width + beside + table.outputs, hidden, dropout=0.4).eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return table, head


def asked(
    rows: int, questions: int, width: int, beside: int, seed: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """States, numbers beside, and a table whose first columns are the same for all of a row."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(MEMBERS, rows, width)).astype(np.float32)
    table = rng.normal(size=(rows, questions, COLUMNS)).astype(np.float32)
    table[:, :, :3] = table[:, :1, :3]
    numbers = rng.normal(size=(MEMBERS, rows, questions, beside)).astype(np.float32)
    return torch.from_numpy(states), torch.from_numpy(numbers), torch.from_numpy(table)


def answers(
    states: Tensor, beside: Tensor, table: Tensor, encoding: PiecewiseLinear, head: Head
) -> NDArray[np.float64]:
    inputs = [tensor.numpy() for tensor in (states, beside, table)]
    bins = encoding.low.numpy(), encoding.scale.numpy()
    return dense.head(*inputs, *bins, *dense.head_arrays(weights_of(head)))


@pytest.mark.parametrize("beside", [0, 3])
@pytest.mark.parametrize("width", [0, 1, 6, 8])
@pytest.mark.parametrize(("rows", "questions"), [(0, 2), (3, 0), (1, 1), (7, 3)])
def test_the_compiled_head_is_the_head(width: int, beside: int, rows: int, questions: int) -> None:
    encoding, head = layers_of(width, beside)
    states, numbers, table = asked(rows, questions, width, beside)
    got = answers(states, numbers, table, encoding, head)
    assert got.shape == (rows, questions, OUTPUTS)
    encoded = encoding(table.flatten(0, 1)).unflatten(0, (rows, questions))
    encoded = encoded.expand(MEMBERS, -1, -1, -1)
    shared = states[:, :, None].expand(-1, -1, questions, -1)
    with torch.no_grad():
        mean, quantiles = head(torch.cat([shared, numbers, encoded], -1))
    np.testing.assert_allclose(got[..., 0], mean.mean(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got[..., 1:], quantiles.mean(0), rtol=1e-5, atol=1e-5)
    assert (np.diff(got[..., 1:], axis=-1) > 0).all()


@given(
    st.integers(1, 6), st.integers(1, 4), st.integers(0, 9), st.integers(0, 5), st.integers(0, 999)
)
def test_an_answer_of_the_head_does_not_depend_on_the_others_to_the_bit(
    rows: int, questions: int, width: int, beside: int, seed: int
) -> None:
    encoding, head = layers_of(width, beside)
    states, numbers, table = asked(rows, questions, width, beside, seed)
    together = answers(states, numbers, table, encoding, head)
    for row in range(rows):
        own = states[:, row : row + 1].contiguous()
        for question in range(questions):
            one = table[row : row + 1, question : question + 1].contiguous()
            its = numbers[:, row : row + 1, question : question + 1].contiguous()
            alone = answers(own, its, one, encoding, head)
            np.testing.assert_array_equal(alone[0, 0], together[row, question])


def test_the_compiled_encoding_is_the_encoding() -> None:
    encoding, _ = layers_of(0)
    for row in torch.from_numpy(np.random.default_rng(5).normal(0, 2, (50, COLUMNS))).float():
        got = np.empty(encoding.outputs, np.float32)
        dense.encode(row.numpy(), encoding.low.numpy(), encoding.scale.numpy(), got)
        np.testing.assert_allclose(got, encoding(row[None])[0], atol=1e-6)
