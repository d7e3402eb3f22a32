"""The jump ODE from events to the states at observations: what inference on a CPU runs.

The same numbers as `MemberLinear`, `JumpODE` and `AffineFlow` one after the other, without what
their gradients need: nothing is kept of a jump but the state, and a sequence is followed no further
than it is observed. An answer does not depend on what else is asked in the same call, to the bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.forecasters.jump_ode.scan import flow_on, step
from models.kernels.dense import add_product, copy
from models.kernels.threads import in_threads
from models.kernels.vector_math import VECTORISES
from models.learning.weights import Weights, affine, named


class JumpWeights(NamedTuple):
    """What makes of inputs the states: the layer that reads them, the unit, the flow.

    Attributes:
        read, read_bias: shape (members, inputs, 3 width), (members, 1, 3 width).
        start: state at s = 0, shape (members, width).
        rate, level, slope: of the affine flow, of the same shape.
        recurrent, bias: of the unit, shape (members, width, 3 width), (members, 3 width).
    """

    read: NDArray[np.float32]
    read_bias: NDArray[np.float32]
    start: NDArray[np.float32]
    rate: NDArray[np.float32]
    level: NDArray[np.float32]
    slope: NDArray[np.float32]
    recurrent: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def of(cls, weights: Weights) -> JumpWeights:
        """From the weights of a network that has a `read` layer and an `ode`."""
        return cls(
            weights["read.weight"],
            weights["read.bias"],
            weights["ode.start"],
            np.exp(weights["ode.flow.log_rate"]),
            weights["ode.flow.level"],
            weights["ode.flow.slope"],
            weights["ode.recurrent"],
            weights["ode.bias"],
        )


def jump_shapes(members: int, inputs: int, width: int) -> dict[str, tuple[int, ...]]:
    """Shapes of what `JumpWeights.of` takes."""
    state = (members, width)
    return {
        **named("read", affine(members, inputs, 3 * width)),
        "ode.start": state,
        "ode.flow.log_rate": state,
        "ode.flow.level": state,
        "ode.flow.slope": state,
        "ode.recurrent": (members, width, 3 * width),
        "ode.bias": (members, 3 * width),
    }


def states_at(
    jump: NDArray[np.int64],
    until: NDArray[np.float32],
    inputs: NDArray[np.float32],
    encoded: NDArray[np.float32],
    clock: NDArray[np.float32],
    offsets: NDArray[np.int64],
    weights: JumpWeights,
) -> NDArray[np.float32]:
    """The state at each observation, shape (members, observations, width).

    Args:
        jump: the last jump of each observation, -1 where there is none, shape (observations,).
        until: clock at the observations, of the same shape.
        inputs: of the jumps, which all members share, shape (jumps, inputs).
        encoded: what each member reads of them besides, shape (members, jumps, numbers); 0 of them
            where there are none.
        clock: of the jumps, shape (jumps,).
        offsets: jumps of sequence i are those from `offsets[i]` to `offsets[i + 1]`.
        weights: of the network.
    """
    members, width = weights.start.shape
    order = np.argsort(jump, kind="stable")
    states = np.empty((members, len(jump), width), np.float32)
    arrays: list[Any] = [order, jump[order], until, inputs, encoded, clock, *weights, states]
    in_threads(_states, offsets, arrays)
    return states


@njit(**VECTORISES)
def _states(
    first, last, offsets,
    order, jumps, until, inputs, encoded, clock,
    weight, weight_bias, start, rate, level, slope, recurrent, bias,
    states,
):  # fmt: skip
    width, shared = start.shape[1], inputs.shape[1]
    x = np.empty(3 * width, np.float32)
    product = np.empty(3 * width, np.float32)
    gate = np.empty(3 * width, np.float32)
    before = np.empty(width, np.float32)
    state = np.empty(width, np.float32)
    zero = np.float32(0)
    for member in range(len(start)):
        k, a, b = rate[member], level[member], slope[member]
        for sequence in range(first, last):
            copy(start[member], state)
            now = zero
            # The observations before the first jump, of whatever sequence, come with the first.
            begin = offsets[sequence] if sequence else -1
            at = np.searchsorted(jumps, begin)
            end = np.searchsorted(jumps, offsets[sequence + 1])
            jump = begin
            while at < end:
                if jump >= 0:
                    elapsed = max(clock[jump] - now, zero)
                    flow_on(state, now, elapsed, k, a, b, before)
                    now += elapsed
                    copy(weight_bias[member, 0], x)
                    add_product(inputs[jump], weight[member, :shared], x)
                    add_product(encoded[member, jump], weight[member, shared:], x)
                    copy(bias[member], product)
                    add_product(before, recurrent[member], product)
                    step(x, product, before, gate, state)
                while at < end and jumps[at] == jump:
                    asked = order[at]
                    elapsed = max(until[asked] - now, zero)
                    flow_on(state, now, elapsed, k, a, b, states[member, asked])
                    at += 1
                jump += 1
