"""The selective scan: a linear recurrence whose step size, input and output follow the input.

For each channel d and each component n of its state (Gu and Dao, Mamba, 2023, section 3.2),

    h_t = exp(dt_t e_t A) h_{t-1} + dt_t B_t x_t,    y_t = sum over n of C_t h_t,

where e_t is the time that passed since the step before, one unit where steps come evenly: what
the paper takes for granted. A state so decays by as much as time went by, however many steps
that was, and one that is not stepped decays in closed form.

    selective_scan_reference   the two lines above, one step after the other
    selective_scan_chunked     steps of a chunk in parallel, chunks one after the other: any device
    selective_scan_kernel      (another file) compiled, gradient by hand: float32 on a CPU
    mamba_ssm                  its CUDA kernel, where it is installed
    selective_scan             the fastest of them for what it is given

Shapes: x and dt (batch, length, channels), A (channels, state), B and C (batch, length, state),
e (batch, length). A is negative. The arithmetic is float32 whatever the inputs are.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from models.caches.networks.selective_scan_kernel import selective_scan_compiled

try:  # needs CUDA to build; what runs on a GPU alone has not been run on one
    from mamba_ssm.ops import selective_scan_interface as fused
except ImportError:
    fused = None

CHUNK = 16  # steps; two doublings more cost more than they save


def selective_scan(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, elapsed: Tensor | None = None
) -> Tensor:
    """y of each step, in the precision of x, shape (batch, length, channels).

    Args:
        x: input.
        dt: step sizes, at least 0.
        A: rates of decay, negative.
        B: how the input enters the state.
        C: how the state is read.
        elapsed: time since the step before, above 0; None: 1 everywhere.
    """
    if x.is_cuda and fused is not None:
        return _on_cuda(x, dt, A, B, C, elapsed)
    if x.device.type == "cpu" and x.shape[0] and x.shape[1]:
        offsets = torch.arange(x.shape[0] + 1).numpy() * x.shape[1]
        rows = [t.float().flatten(0, 1) for t in (x, dt, B, C)]
        passed = torch.ones(rows[0].shape[0]) if elapsed is None else elapsed.float().flatten()
        y = selective_scan_compiled(rows[0], rows[1], A.float(), rows[2], rows[3], passed, offsets)
        return y.view(x.shape).to(x.dtype)
    return selective_scan_chunked(x, dt, A, B, C, elapsed)


def selective_scan_reference(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, elapsed: Tensor | None = None
) -> Tensor:
    """`selective_scan` by its definition."""
    decay, entering = _discretised(x, dt, A, B, elapsed)
    state = torch.zeros_like(decay[:, 0]) if x.shape[1] else decay.sum(1)
    outputs = []
    for step in range(x.shape[1]):
        state = decay[:, step] * state + entering[:, step]
        outputs.append(torch.einsum("bdn,bn->bd", state, C[:, step].float()))
    return torch.stack(outputs, 1).to(x.dtype) if outputs else torch.zeros_like(x)


def selective_scan_chunked(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, elapsed: Tensor | None = None
) -> Tensor:
    """`selective_scan` by doubling within chunks (Hillis and Steele, 1986).

    After k rounds, `decay` and `entering` of a step stand for the 2^k steps that end with it.
    Products of decays never leave [0, 1], so nothing overflows, however long the time.
    """
    batch, length, channels = x.shape
    short = -length % CHUNK
    decay, entering = (
        functional.pad(t, (0, 0, 0, 0, 0, short)).unflatten(1, (-1, CHUNK))
        for t in _discretised(x, dt, A, B, elapsed)
    )  # (batch, chunks, CHUNK, channels, state)
    reach = 1
    while reach < CHUNK:
        earlier = functional.pad(entering[:, :, :-reach], (0, 0, 0, 0, reach, 0))
        entering = entering + decay * earlier
        decay = decay * functional.pad(decay[:, :, :-reach], (0, 0, 0, 0, reach, 0), value=1.0)
        reach *= 2
    states = []
    state = x.new_zeros(batch, channels, A.shape[1], dtype=torch.float32)
    for chunk in range(decay.shape[1]):
        within = decay[:, chunk] * state[:, None] + entering[:, chunk]
        state = within[:, -1]
        states.append(within)
    if not states:
        return torch.zeros_like(x)
    every = torch.cat(states, 1)[:, :length]
    return torch.einsum("bldn,bln->bld", every, C.float()).to(x.dtype)


def _discretised(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, elapsed: Tensor | None
) -> tuple[Tensor, Tensor]:
    """exp(dt e A) and dt B x, each of shape (batch, length, channels, state), float32."""
    dt = dt.float()
    passed = dt if elapsed is None else dt * elapsed.float()[..., None]
    return (
        torch.exp(passed[..., None] * A.float()),
        (dt * x.float())[..., None] * B.float()[:, :, None],
    )


def _on_cuda(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, elapsed: Tensor | None
) -> Tensor:
    """By `mamba_ssm`, which knows no elapsed time: (dt e) A and (dt e) B (x / e) are the same."""
    if elapsed is not None:
        dt, x = dt * elapsed[..., None].to(dt.dtype), x / elapsed[..., None].to(x.dtype)
    channels_first = [t.transpose(1, 2).contiguous() for t in (x, dt, B, C)]
    y: Tensor = fused.selective_scan_fn(
        channels_first[0], channels_first[1], A.float(), *channels_first[2:]
    )
    return y.transpose(1, 2)
