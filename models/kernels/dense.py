"""Layers of trained networks as compiled kernels: what inference on a CPU runs.

An answer does not depend on what else is asked in the same call, to the bit, since each row is
worked on by itself; a library's matrix product may choose another order of sums for another
number of rows. `models.learning.layers` has the same layers for training; tests hold the two
together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.vector_math import VECTORISES, sigmoid

_UNROLL = 4
_OUTPUTS = 6  # of a head: the mean, the median, two steps down and two up


@njit(inline="always", **VECTORISES)
def copy(values, out):
    """out = values, of one shape (n,). An assignment of slices takes numba seconds to compile."""
    for index in range(len(out)):
        out[index] = values[index]


@njit(inline="always", **VECTORISES)
def add_product(vector, matrix, out):
    """out += vector @ matrix, for shapes (n,), (n, m), (m,)."""
    whole = len(vector) - len(vector) % _UNROLL
    # Several rows of the matrix at a time, to load and store the sum less often.
    for row in range(0, whole, _UNROLL):
        a, b, c, d = vector[row], vector[row + 1], vector[row + 2], vector[row + 3]
        if a == 0 and b == 0 and c == 0 and d == 0:  # frequent in an encoded table
            continue
        first, second = matrix[row], matrix[row + 1]
        third, fourth = matrix[row + 2], matrix[row + 3]
        for column in range(len(out)):
            out[column] += (
                a * first[column] + b * second[column] + c * third[column] + d * fourth[column]
            )
    for row in range(whole, len(vector)):
        a, only = vector[row], matrix[row]
        for column in range(len(out)):
            out[column] += a * only[column]


@njit(**VECTORISES)
def encode(values, low, scale, out):
    """`PiecewiseLinear` of one row: `values` of shape (columns,), into (columns x bins,)."""
    bins = low.shape[1]
    for column in range(len(values)):
        for bin_ in range(bins):
            position = (values[column] - low[column, bin_]) * scale[column, bin_]
            out[column * bins + bin_] = min(max(position, np.float32(0)), np.float32(1))


@njit(inline="always", **VECTORISES)
def silu(values):
    """x sigmoid(x), in place."""
    for index in range(len(values)):
        values[index] *= sigmoid(values[index])


@njit(cache=True, nogil=True)
def _same(table):
    """How many columns, from the first on, are the same in all rows of a table."""
    for column in range(table.shape[1]):
        for row in range(1, len(table)):
            if table[row, column] != table[0, column]:
                return column
    return table.shape[1]


@njit(**VECTORISES)
def head(
    states, beside, table,
    low, scale, first, first_bias, second, second_bias, last, last_bias,
):  # fmt: skip
    """`Head` on the state of each member, what stands beside it, and the encoded table.

    Args:
        states: float32, shape (members, n, width); a width of 0 where there is none.
        beside: numbers of each question, float32, shape (members, n, questions, numbers); 0 of
            them where there are none.
        table: numbers before `PiecewiseLinear`, float32, shape (n, questions, columns).
        low, scale: of the encoding.
        first, first_bias, ...: of the layers, shape (members, inputs, outputs) and (members, 1,
            outputs).

    Returns:
        the mean over members of the mean and the quantiles (in `ordered` form), float64, shape
        (n, questions, 1 + levels).
    """
    members, rows, width = states.shape
    _, questions, columns = table.shape
    bins = low.shape[1]
    begin = width + beside.shape[3]
    outputs = last.shape[2]
    steps = (outputs - 2) // 2
    encoded = np.empty((questions, columns * bins), np.float32)
    shared = np.empty(first.shape[2], np.float32)
    one = np.empty(first.shape[2], np.float32)
    two = np.empty(second.shape[2], np.float32)
    raw = np.empty(outputs, np.float32)
    out = np.zeros((rows, questions, outputs))
    for row in range(rows if questions else 0):
        for question in range(questions):
            encode(table[row, question], low, scale, encoded[question])
        # What all questions of a row have goes through the first layer once. It ends where
        # `add_product` starts afresh, so that the order of its sums is the same however long it is.
        same = _same(table[row]) * bins
        same -= same % _UNROLL
        for member in range(members):
            matrix = first[member]
            copy(first_bias[member, 0], shared)
            add_product(states[member, row], matrix[:width], shared)
            add_product(encoded[0, :same], matrix[begin : begin + same], shared)
            for question in range(questions):
                copy(shared, one)
                add_product(encoded[question, same:], matrix[begin + same :], one)
                add_product(beside[member, row, question], matrix[width:begin], one)
                silu(one)
                copy(second_bias[member, 0], two)
                add_product(one, second[member], two)
                silu(two)
                copy(last_bias[member, 0], raw)
                add_product(two, last[member], raw)
                answer = out[row, question]
                median = float(raw[1])
                answer[0] += raw[0]
                answer[1 + steps] += median
                below = above = median
                for step in range(steps):
                    below -= _softplus(raw[2 + step] - 0.5)
                    above += _softplus(raw[2 + steps + step] - 0.5)
                    answer[steps - step] += below
                    answer[2 + steps + step] += above
    return out / members


def nothing_beside(members: int, table: NDArray[np.float32]) -> NDArray[np.float32]:
    """What `head` takes where a head reads nothing beside state and table."""
    return np.empty((members, *table.shape[:2], 0), np.float32)


def head_arrays(weights: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """What `head` takes of the layers, from the weights of a `Head` by name."""
    layers = "first", "second", "last"
    return [weights[f"{layer}.{part}"] for layer in layers for part in ("weight", "bias")]


def head_shapes(members: int, inputs: int, width: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights of a `Head`."""
    sizes = {"first": (inputs, width), "second": (width, width), "last": (width, _OUTPUTS)}
    return {
        f"{layer}.{part}": (members, rows if part == "weight" else 1, columns)
        for layer, (rows, columns) in sizes.items()
        for part in ("weight", "bias")
    }


@njit(cache=True, nogil=True)
def _softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
