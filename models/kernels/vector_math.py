"""exp, sigmoid, tanh and softplus in float32 for compiled loops, made of what vectorises.

The C library's functions are called once a number; these are arithmetic alone, so that a loop over
them runs in vector registers. A caller's kernel has to be compiled with `**VECTORISES`: Python's
check for a division by zero would keep the loop scalar.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

# A product and a sum may fuse; nothing may be reordered, so that results do not depend on where a
# number stands in a vector.
VECTORISES: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "fastmath": {"contract", "nnan", "ninf", "nsz"},
    "error_model": "numpy",
}
_LOG2_E = np.float32(1.4426950408889634)
# Added to a number of moderate size and taken away again, it leaves the nearest integer.
_ROUND = np.float32(1.5 * 2**23)
_LIMIT = np.float32(60)
# 2^t for t within [-1/2, 1/2], interpolated at the Chebyshev nodes; relative error 3e-9.
_POLYNOMIAL = tuple(
    np.float32(c)
    for c in np.polynomial.Chebyshev.interpolate(lambda t: 2.0**t, 6, domain=[-0.5, 0.5])
    .convert(kind=np.polynomial.Polynomial)
    .coef
)
_C0, _C1, _C2, _C3, _C4, _C5, _C6 = _POLYNOMIAL
# log(1 + t) for t within [0, 1], interpolated in the same way; absolute error 3e-8.
_LOG1P = tuple(
    np.float32(c)
    for c in np.polynomial.Chebyshev.interpolate(np.log1p, 9, domain=[0.0, 1.0])
    .convert(kind=np.polynomial.Polynomial)
    .coef
)
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8, _L9 = _LOG1P


@intrinsic
def _times_power_of_two(context, number, rounded):
    """`number` times 2^n, where `rounded` is `_ROUND` + n: n goes into the exponent's bits."""

    def generate(context, builder, signature, arguments):
        number, rounded = arguments
        bits = ir.IntType(32)
        power = builder.shl(builder.bitcast(rounded, bits), ir.Constant(bits, 23))
        sum_ = builder.add(builder.bitcast(number, bits), power)
        return builder.bitcast(sum_, ir.FloatType())

    return types.float32(types.float32, types.float32), generate


@njit(inline="always", **VECTORISES)
def exp(x):
    """e^x, relative error about 2e-7 times 1 + |x|; beyond 60 in size x counts as 60."""
    y = min(max(x, -_LIMIT), _LIMIT) * _LOG2_E
    rounded = y + _ROUND
    t = y - (rounded - _ROUND)
    p = _C0 + t * (_C1 + t * (_C2 + t * (_C3 + t * (_C4 + t * (_C5 + t * _C6)))))
    return _times_power_of_two(p, rounded)


@njit(inline="always", **VECTORISES)
def sigmoid(x):
    """1 / (1 + e^-x), absolute error about 1e-7."""
    return np.float32(1) / (np.float32(1) + exp(-x))


@njit(inline="always", **VECTORISES)
def tanh(x):
    """Hyperbolic tangent, absolute error about 2e-7."""
    return np.float32(2) * sigmoid(np.float32(2) * x) - np.float32(1)


@njit(inline="always", **VECTORISES)
def softplus(x):
    """log(1 + e^x), absolute error about 3e-7."""
    t = exp(-abs(x))
    p = _L5 + t * (_L6 + t * (_L7 + t * (_L8 + t * _L9)))
    return max(x, np.float32(0)) + (_L0 + t * (_L1 + t * (_L2 + t * (_L3 + t * (_L4 + t * p)))))
