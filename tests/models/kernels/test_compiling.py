"""Kernels are told of as numba compiles them, and only those that it compiles."""

from __future__ import annotations

from numba import njit

from models.kernels import compiling


@njit
def _inner(x):  # type: ignore[no-untyped-def]
    return x + 1


@njit
def _outer(x):  # type: ignore[no-untyped-def]
    return _inner(x) * 2


def test_an_inner_kernel_is_compiled_within_the_one_that_calls_it() -> None:
    said: list[object] = []
    end = compiling.follow(lambda number, name: said.append((number, name)), lambda: said.append(0))
    try:
        assert _outer(1.0) == 4.0
        assert said == [(1, "_outer"), (2, "_inner"), 0, 0]
        assert _outer(2.0) == 6.0  # compiled already
        assert len(said) == 4
        assert _inner(1) == 2  # for another type it is another kernel
        assert said[4:] == [(3, "_inner"), 0]
    finally:
        end()
    assert _outer(1) == 4
    assert len(said) == 6
