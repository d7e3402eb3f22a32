"""The encoder's Transformers as a compiled kernel: what inference on a CPU runs.

The same numbers as `Encoder`, a sequence at a time, layer by layer. As in
`models.forecasters.jump_ode.states` an answer does not depend on what else is asked in the same
call, to the bit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.dense import add_product, copy
from models.kernels.threads import in_threads
from models.kernels.vector_math import VECTORISES, exp, tanh
from models.learning.weights import Weights, affine, named, within

WIDTH = 40
HEADS = 2
FEED_FORWARD = 64
# Constants, so that loops over them are unrolled. A sum runs in lanes, each in its order.
_LANES = 8
_HEAD = WIDTH // HEADS
# A value is filled up to whole registers, with a one that sums the weights of the softmax.
_VALUE = _LANES * (_HEAD // _LANES + 1)
_SCALE = np.float32(_HEAD**-0.5)
_EPSILON = np.float32(1e-5)  # of PyTorch's LayerNorm
# Of the tanh form of GELU (arXiv 1606.08415).
_GELU_LINEAR = np.float32((2 / np.pi) ** 0.5)
_GELU_CUBIC = np.float32(0.044715)


def shapes(members: int, inputs: int, users: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights of an `Encoder`.

    Args:
        members: networks side by side.
        inputs: numbers a jump beside the user's.
        users: numbers a jump of the user; 0: only the first Transformer.
    """
    layer = {
        **named("attention", affine(members, WIDTH, 3 * WIDTH)),
        **named("output", affine(members, WIDTH, WIDTH)),
        **named("inner", affine(members, WIDTH, FEED_FORWARD)),
        **named("outer", affine(members, FEED_FORWARD, WIDTH)),
        **{f"norms.{i}.{part}": (WIDTH,) for i in range(2) for part in ("weight", "bias")},
    }
    found: dict[str, tuple[int, ...]] = {}
    for index, size in enumerate(filter(None, (inputs, users))):
        found |= named(f"reads.{index}", affine(members, size, WIDTH))
        found |= named(f"layers.{index}", layer)
    return found


def sinusoids(clock: NDArray[np.float32]) -> NDArray[np.float32]:
    """The encoding of the time, shape (jumps, WIDTH)."""
    octaves = np.arange(WIDTH // 2, dtype=np.float32)
    angles = clock[:, None] * np.exp(octaves * np.float32(-math.log(1e3) / (WIDTH // 2)))
    angles *= np.float32(math.pi)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def encodings(
    weights: Weights,
    inputs: NDArray[np.float32],
    users: NDArray[np.float32] | None,
    clock: NDArray[np.float32],
    offsets: NDArray[np.int64],
) -> NDArray[np.float32]:
    """`Encoder.forward`, shape (members, jumps, outputs).

    Args:
        weights: of an `Encoder`, by their names in it.
        inputs, users, clock, offsets: as `Encoder.forward` takes them.
    """
    timed = sinusoids(clock)
    sources = [(inputs, timed)]
    if users is not None:
        sources.append((users, np.zeros_like(timed)))
    members = len(weights["reads.0.weight"])
    out = np.empty((members, len(clock), WIDTH * len(sources)), np.float32)
    for index, (source, added) in enumerate(sources):
        layer = within(weights, f"layers.{index}")
        arrays: list[Any] = [added, source]
        arrays += [weights[f"reads.{index}.weight"], weights[f"reads.{index}.bias"]]
        for part in ("attention", "output", "inner", "outer", "norms.0", "norms.1"):
            arrays += [layer[f"{part}.weight"], layer[f"{part}.bias"]]
        columns = out[:, :, index * WIDTH : (index + 1) * WIDTH]
        in_threads(_encode, offsets, [*arrays, columns])
    return out


@njit(**VECTORISES)
def _encode(
    first, last, offsets, added, source,
    read, read_bias, attention, attention_bias, output, output_bias,
    inner, inner_bias, outer, outer_bias, norm, norm_bias, second_norm, second_norm_bias,
    out,
):  # fmt: skip
    longest = 1
    for sequence in range(first, last):
        longest = max(longest, offsets[sequence + 1] - offsets[sequence])
    rows = np.empty((longest, WIDTH), np.float32)
    asked = np.empty((longest, 3 * WIDTH), np.float32)
    seen = np.empty((longest, WIDTH), np.float32)
    hidden = np.empty((longest, FEED_FORWARD), np.float32)
    keys = np.empty((HEADS, _HEAD, longest), np.float32)
    values = np.zeros((HEADS, longest, _VALUE), np.float32)
    values[:, :, _HEAD] = 1
    weights = np.empty(longest, np.float32)
    lanes = np.empty(_LANES, np.float32)
    for member in range(len(read)):
        for sequence in range(first, last):
            begin = offsets[sequence]
            n = offsets[sequence + 1] - begin
            x, y, z, h = rows[:n], asked[:n], seen[:n], hidden[:n]
            for step in range(n):
                for i in range(WIDTH):
                    x[step, i] = read_bias[member, 0, i] + added[begin + step, i]
                add_product(source[begin + step], read[member], x[step])
                copy(attention_bias[member, 0], y[step])
            _add_products(x, attention[member], y)
            for step in range(n):
                _attend(y[step], step, keys, values, weights, z[step])
                for i in range(WIDTH):
                    x[step, i] += output_bias[member, 0, i]
            _add_products(z, output[member], x)
            for step in range(n):
                _normalise(x[step], norm, norm_bias, lanes, x[step])
                copy(inner_bias[member, 0], h[step])
            _add_products(x, inner[member], h)
            for step in range(n):
                _gelu(h[step])
                for i in range(WIDTH):
                    x[step, i] += outer_bias[member, 0, i]
            _add_products(h, outer[member], x)
            for step in range(n):
                _normalise(x[step], second_norm, second_norm_bias, lanes, out[member, begin + step])


@njit(**VECTORISES)
def _add_products(rows, matrix, out):
    """out += rows @ matrix, two rows at a time: so the matrix is loaded half as often."""
    n, depth = rows.shape
    for row in range(0, n - 1, 2):
        one, two = rows[row], rows[row + 1]
        first, second = out[row], out[row + 1]
        for k in range(0, depth, 4):
            a, b, c, d = matrix[k], matrix[k + 1], matrix[k + 2], matrix[k + 3]
            p, q, r, s = one[k], one[k + 1], one[k + 2], one[k + 3]
            t, u, v, w = two[k], two[k + 1], two[k + 2], two[k + 3]
            for column in range(matrix.shape[1]):
                first[column] += p * a[column] + q * b[column] + r * c[column] + s * d[column]
                second[column] += t * a[column] + u * b[column] + v * c[column] + w * d[column]
    if n % 2:
        add_product(rows[n - 1], matrix, out[n - 1])


@njit(**VECTORISES)
def _attend(asked, step, keys, values, weights, out):
    """Attention of one step to itself and those before, whose keys and values it joins."""
    total = np.empty(_VALUE, np.float32)
    steps = step + 1
    for head in range(HEADS):
        begin = head * _HEAD
        for i in range(_HEAD):
            keys[head, i, step] = asked[WIDTH + begin + i]
            values[head, step, i] = asked[2 * WIDTH + begin + i]
        weights[:steps] = 0
        add_product(asked[begin : begin + _HEAD], keys[head, :, :steps], weights[:steps])
        most = weights[0]
        for index in range(steps):
            most = max(most, weights[index])
        for index in range(steps):
            weights[index] = exp((weights[index] - most) * _SCALE)
        total[:] = 0
        add_product(weights[:steps], values[head, :steps], total)
        for i in range(_HEAD):
            out[begin + i] = total[i] / total[_HEAD]


@njit(**VECTORISES)
def _gelu(values):
    half, one = np.float32(0.5), np.float32(1)
    for i in range(FEED_FORWARD):
        x = values[i]
        values[i] = half * x * (one + tanh(_GELU_LINEAR * (x + _GELU_CUBIC * x * x * x)))


@njit(**VECTORISES)
def _normalise(values, weight, bias, lanes, out):
    """LayerNorm of one row; `lanes` is room for `_LANES` numbers."""
    lanes[:] = 0
    for i in range(0, WIDTH, _LANES):
        for lane in range(_LANES):
            lanes[lane] += values[i + lane]
    mean = _total(lanes) / np.float32(WIDTH)
    lanes[:] = 0
    for i in range(0, WIDTH, _LANES):
        for lane in range(_LANES):
            lanes[lane] += (values[i + lane] - mean) ** 2
    scale = np.float32(1) / np.sqrt(_total(lanes) / np.float32(WIDTH) + _EPSILON)
    for i in range(WIDTH):
        out[i] = (values[i] - mean) * scale * weight[i] + bias[i]


@njit(**VECTORISES)
def _total(lanes):
    total = np.float32(0)
    for lane in range(_LANES):
        total += lanes[lane]
    return total
