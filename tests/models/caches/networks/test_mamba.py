"""The block in its three forms, and its checkpoint."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from models.caches.networks.mamba import Mamba
from models.caches.networks.selective_scan import selective_scan_reference


def _block(**options) -> Mamba:
    torch.manual_seed(0)
    return Mamba(12, **options)


def _sequences(batch=3, length=11):
    random = torch.Generator().manual_seed(1)
    hidden = torch.randn(batch, length, 12, generator=random)
    return hidden, torch.rand(batch, length, generator=random) * 3 + 0.1


def _by_definition(block: Mamba, hidden, elapsed):
    """The block in library calls alone, its convolution PyTorch's own."""
    x, gate = block.in_proj(hidden).chunk(2, -1)
    x = functional.silu(block.conv1d(x.transpose(1, 2))[..., : hidden.shape[1]]).transpose(1, 2)
    dt, B, C = block.x_proj(x).split([block.rank, block.d_state, block.d_state], -1)
    dt = functional.softplus(block.dt_proj(dt))
    y = selective_scan_reference(x, dt, -block.A_log.exp(), B, C, elapsed) + block.D * x
    return block.out_proj(y * functional.silu(gate))


@pytest.mark.parametrize("options", [{}, {"d_state": 3, "d_conv": 2, "expand": 1}])
def test_forward_is_the_definition_with_its_gradients(options):
    block, (hidden, elapsed) = _block(**options), _sequences()
    weight = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(2))
    results = []
    for y in (_by_definition(block, hidden, elapsed), block(hidden, elapsed)):
        gradients = torch.autograd.grad((y * weight).sum(), list(block.parameters()))
        results.append([y, *gradients])
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)


def test_steps_with_a_state_give_what_the_whole_sequence_gives():
    block, (hidden, elapsed) = _block(), _sequences()
    state, outputs = block.start(len(hidden)), []
    for t in range(hidden.shape[1]):
        output, state = block.step(hidden[:, t], state, elapsed[:, t])
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs, 1), block(hidden, elapsed))


def test_ragged_sequences_give_what_each_gives_alone():
    block, (hidden, elapsed) = _block(), _sequences(1, 20)
    offsets = np.array([0, 3, 3, 4, 20])
    got = block.ragged(hidden[0], offsets, elapsed[0])
    for first, last in itertools.pairwise(offsets):
        alone = block(hidden[:, first:last], elapsed[:, first:last])[0]
        torch.testing.assert_close(got[first:last], alone)


def test_the_path_of_other_devices_agrees():
    # In double precision the sequences are padded to one length, as on a GPU.
    block, (hidden, elapsed) = _block(), _sequences(1, 20)
    offsets = np.array([0, 3, 3, 4, 20])
    expected = block.ragged(hidden[0], offsets, elapsed[0])
    got = block.double().ragged(hidden[0].double(), offsets, elapsed[0].double())
    torch.testing.assert_close(got.float(), expected, rtol=1e-4, atol=1e-6)


def test_parameters_have_the_names_and_shapes_of_mamba_ssm():
    # Those of mamba_ssm.Mamba(d_model=32, d_state=16, d_conv=4, expand=2).
    assert {name: tuple(value.shape) for name, value in Mamba(32).state_dict().items()} == {
        "A_log": (64, 16),
        "D": (64,),
        "in_proj.weight": (128, 32),
        "conv1d.weight": (64, 1, 4),
        "conv1d.bias": (64,),
        "x_proj.weight": (34, 64),
        "dt_proj.weight": (64, 2),
        "dt_proj.bias": (64,),
        "out_proj.weight": (32, 64),
    }


def test_one_state_dict_serves_both_precisions_that_run_here():
    block, (hidden, elapsed) = _block(), _sequences()
    half = Mamba(12).to(torch.bfloat16)
    half.load_state_dict(block.state_dict())
    got = half(hidden.bfloat16(), elapsed.bfloat16()).float()
    expected = block(hidden, elapsed)
    assert (got - expected).abs().max() < 0.05 * expected.abs().max()


def test_step_sizes_begin_between_a_thousandth_and_a_tenth():
    dt = functional.softplus(Mamba(64).dt_proj.bias)
    assert dt.min() >= 1e-3 * 0.99 and dt.max() <= 0.1 * 1.01


def test_what_comes_later_changes_nothing_before():
    block, (hidden, elapsed) = _block(), _sequences()
    other = hidden.clone()
    other[:, 6:] = 9.0
    assert torch.equal(block(hidden, elapsed)[:, :6], block(other, elapsed)[:, :6])


def test_it_learns_what_needs_a_memory():
    # To tell how long ago the last pulse was, by the elapsed time alone.
    torch.manual_seed(0)
    block, read = Mamba(8, d_state=4), nn.Linear(8, 1)
    embed = nn.Linear(1, 8)
    parameters = [*block.parameters(), *read.parameters(), *embed.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-2)
    random = torch.Generator().manual_seed(3)
    losses = []
    for _ in range(100):
        elapsed = torch.rand(32, 12, generator=random) * 2
        pulses = (torch.rand(32, 12, 1, generator=random) < 0.2).float()
        pulses[:, 0] = 1
        since = torch.zeros(32, 12)
        for t in range(1, 12):
            since[:, t] = torch.where(pulses[:, t, 0] > 0, 0.0, since[:, t - 1] + elapsed[:, t])
        wanted = torch.exp(-since)
        got = read(block(embed(pulses), elapsed))[..., 0]
        loss = functional.mse_loss(got, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.2 * np.mean(losses[:10])
