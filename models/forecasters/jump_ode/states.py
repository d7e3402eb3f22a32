"""The jump ODE from events to the states at observations: what inference on a CPU runs.

The same numbers as `MemberLinear`, `JumpODE` and `AffineFlow` one after the other, without what
their gradients need: nothing is kept of a jump but the state, and a sequence is followed no further
than it is observed. An answer does not depend on what else is asked in the same call, to the bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.forecasters.jump_ode.flows import AffineFlow
from models.forecasters.jump_ode.scan import JumpODE, flow_on, in_threads, step
from models.kernels.dense import add_product
from models.kernels.vector_math import VECTORISES
from models.learning.layers import MemberLinear


def states_at(
    jump: NDArray[np.int64],
    until: NDArray[np.float32],
    inputs: NDArray[np.float32],
    encoded: NDArray[np.float32],
    clock: NDArray[np.float32],
    offsets: NDArray[np.int64],
    read: MemberLinear,
    ode: JumpODE,
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
        read: makes of the inputs what each jump brings to the unit.
        ode: its flow is affine.
    """
    flow = ode.flow
    if not isinstance(flow, AffineFlow):
        raise TypeError(f"got a flow {type(flow).__name__}; expected AffineFlow")
    tensors = [
        read.weight, read.bias,
        ode.start, flow.log_rate.exp(), flow.level, flow.slope, ode.recurrent, ode.bias,
    ]  # fmt: skip
    members, width = ode.start.shape
    order = np.argsort(jump, kind="stable")
    states = np.empty((members, len(jump), width), np.float32)
    arrays: list[Any] = [order, jump[order], until, inputs, encoded, clock]
    arrays += [tensor.detach().numpy() for tensor in tensors]
    in_threads(_states, offsets, [*arrays, states])
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
            state[:] = start[member]
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
                    x[:] = weight_bias[member, 0]
                    add_product(inputs[jump], weight[member, :shared], x)
                    add_product(encoded[member, jump], weight[member, shared:], x)
                    product[:] = bias[member]
                    add_product(before, recurrent[member], product)
                    step(x, product, before, gate, state)
                while at < end and jumps[at] == jump:
                    asked = order[at]
                    elapsed = max(until[asked] - now, zero)
                    flow_on(state, now, elapsed, k, a, b, states[member, asked])
                    at += 1
                jump += 1
