"""exp, sigmoid, tanh and softplus against numpy's, and wherever in a vector they stand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray

from models.kernels import vector_math
from models.kernels.vector_math import VECTORISES

EXP, SIGMOID, TANH = vector_math.exp, vector_math.sigmoid, vector_math.tanh
SOFTPLUS = vector_math.softplus


@njit(**VECTORISES)
def exps(x, out):
    for i in range(len(x)):
        out[i] = EXP(x[i])


@njit(**VECTORISES)
def sigmoids(x, out):
    for i in range(len(x)):
        out[i] = SIGMOID(x[i])


@njit(**VECTORISES)
def tanhs(x, out):
    for i in range(len(x)):
        out[i] = TANH(x[i])


@njit(**VECTORISES)
def softpluses(x, out):
    for i in range(len(x)):
        out[i] = SOFTPLUS(x[i])


KERNELS = {"exp": exps, "sigmoid": sigmoids, "tanh": tanhs, "softplus": softpluses}


def of(name: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
    out = np.empty_like(x)
    KERNELS[name](x, out)
    return out


@pytest.mark.parametrize("reach", [0.1, 1.0, 10.0, 60.0])
def test_the_relative_error_of_exp_grows_with_its_argument(reach: float) -> None:
    x = np.linspace(-reach, reach, 200_001, dtype=np.float32)
    exact = np.exp(x.astype(np.float64))
    error = np.abs(of("exp", x) - exact) / exact
    assert (error <= 2e-7 * (1 + np.abs(x))).all()


def test_exp_of_0_is_1_and_beyond_60_it_is_that_of_60() -> None:
    x = np.array([0, -0.0, 61, 1e30, np.inf, -61, -1e30, -np.inf], np.float32)
    low, high = of("exp", np.array([-60, 60], np.float32))
    assert of("exp", x).tolist() == [1, 1, high, high, high, low, low, low]


@pytest.mark.parametrize("reach", [0.01, 1.0, 10.0, 100.0])
def test_sigmoid_and_tanh_are_within_their_absolute_errors(reach: float) -> None:
    x = np.linspace(-reach, reach, 200_001, dtype=np.float32)
    exact = 1 / (1 + np.exp(-x.astype(np.float64)))
    assert np.abs(of("sigmoid", x) - exact).max() <= 1.2e-7
    assert np.abs(of("tanh", x) - np.tanh(x.astype(np.float64))).max() <= 2.4e-7


@pytest.mark.parametrize("reach", [0.01, 1.0, 10.0, 100.0])
def test_softplus_is_within_its_error(reach: float) -> None:
    x = np.linspace(-reach, reach, 200_001, dtype=np.float32)
    exact = np.logaddexp(0, x.astype(np.float64))
    np.testing.assert_allclose(of("softplus", x), exact, rtol=1e-7, atol=3e-7)


@pytest.mark.parametrize("name", KERNELS)
@given(st.integers(1, 67), st.integers(0, 16), st.integers(0, 2**32 - 1))
def test_where_a_number_stands_changes_nothing(name: str, size: int, start: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(0, 10, start + size).astype(np.float32)
    whole = of(name, x)
    np.testing.assert_array_equal(of(name, x[start:]), whole[start:])
    alone = np.array([of(name, x[i : i + 1])[0] for i in range(len(x))])
    np.testing.assert_array_equal(alone, whole)
