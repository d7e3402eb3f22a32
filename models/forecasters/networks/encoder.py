"""The encoder of ConCat: two causal Transformers over a cascade's jumps.

One reads what tells of the graph, with a sinusoidal encoding of the time; one reads the users. Each
has one layer of two heads (arXiv 2409.16623; vectors of 40, keys of 20 a head, a feed-forward layer
of 64, GELU, dropout 0.1).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.forecasters.jump_ode.encoder_states import FEED_FORWARD, HEADS, WIDTH, sinusoids
from models.learning.layers import MemberLinear

DROPOUT = 0.1


class _Layer(nn.Module):
    """One causal layer on padded sequences, shape (members, sequences, steps, width)."""

    def __init__(self, members: int) -> None:
        super().__init__()
        self.attention = MemberLinear(members, WIDTH, 3 * WIDTH)
        self.output = MemberLinear(members, WIDTH, WIDTH)
        self.inner = MemberLinear(members, WIDTH, FEED_FORWARD)
        self.outer = MemberLinear(members, FEED_FORWARD, WIDTH)
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])

    def forward(self, inputs: Tensor) -> Tensor:
        members, sequences, steps, _ = inputs.shape

        def apply(layer: MemberLinear, values: Tensor) -> Tensor:
            return layer(values.flatten(1, 2)).view(members, sequences, steps, -1)

        heads = apply(self.attention, inputs).view(members, sequences, steps, 3, HEADS, -1)
        query, key, value = heads.permute(3, 0, 1, 4, 2, 5).flatten(1, 2)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        seen = seen.view(members, sequences, HEADS, steps, -1).transpose(2, 3).flatten(3)
        drop = functional.dropout(apply(self.output, seen), DROPOUT, self.training)
        hidden = self.norms[0](inputs + drop)
        outer = apply(self.outer, functional.gelu(apply(self.inner, hidden), approximate="tanh"))
        out: Tensor = self.norms[1](hidden + functional.dropout(outer, DROPOUT, self.training))
        return out


class Encoder(nn.Module):
    """Both Transformers.

    Args:
        members: networks side by side.
        inputs: numbers a jump beside the user's.
        users: numbers a jump of the user; 0: only the first Transformer.
    """

    def __init__(self, members: int, inputs: int, users: int) -> None:
        super().__init__()
        self.members = members
        self.reads = nn.ModuleList(
            MemberLinear(members, size, WIDTH) for size in (inputs, users) if size
        )
        self.layers = nn.ModuleList(_Layer(members) for _ in self.reads)
        self.outputs = WIDTH * len(self.reads)

    def forward(
        self, inputs: Tensor, users: Tensor | None, clock: Tensor, offsets: NDArray[np.int64]
    ) -> Tensor:
        """Encodings of the jumps.

        Args:
            inputs: shape (jumps, inputs).
            users: shape (jumps, users), or None without.
            clock: of the jumps, shape (jumps,).
            offsets: jumps of sequence i are those from `offsets[i]` to `offsets[i + 1]`.

        Returns:
            shape (members, jumps, outputs).
        """
        lengths = torch.from_numpy(np.diff(offsets)).to(inputs.device)
        if not len(clock):
            return inputs.new_zeros(self.members, 0, self.outputs)
        steps = int(lengths.max()) if len(lengths) else 0
        inside = torch.arange(steps, device=inputs.device) < lengths[:, None]
        encoded = []
        sources = [inputs] if users is None else [inputs, users]
        for index, (source, read, layer) in enumerate(
            zip(sources, self.reads, self.layers, strict=True)
        ):
            values = read(source.expand(self.members, -1, -1))
            if index == 0:
                values = values + torch.from_numpy(sinusoids(clock.cpu().numpy())).to(values.device)
            # A step past the end is never looked at: attention is causal.
            padded = values.new_zeros(self.members, len(lengths), steps, WIDTH)
            padded[:, inside] = values
            encoded.append(layer(padded)[:, inside])
        return torch.cat(encoded, -1)
