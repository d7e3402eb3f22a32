"""The Transformer that CacheMamba is compared with: attention over an object's latest windows.

The paper's comparator, of equal width: one layer of causal attention and a feed-forward part, each
with a norm before and around it a residual (Xiong et al., ICML 2020). What a step attends to fades
with the requests served since, at a slope of each head's own (ALiBi: Press et al., ICLR 2022), so
real elapsed time counts here too. The steps that it attends to have to be kept, and are gone
through at every step: its cost grows with the history, Mamba's does not.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.caches.networks.ranker import RankerNetwork
from models.caches.stepper import Config

_HEADS = 2
_UNSEEN = -1e9  # finite: where nothing is seen, infinity would give no number at all


class TransformerNetwork(RankerNetwork):
    """One layer that sees `config.history` steps, the present one included."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        width = config.width
        self.before_attention = nn.RMSNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        # A fading of e^-slope for each e-fold of the time since, in thousands of requests.
        self.slope = nn.Parameter(torch.tensor([1.0, 0.1]))
        self.before_forward = nn.RMSNorm(width)
        self.forward_part = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def body(self, hidden: Tensor, offsets: NDArray[np.int64], elapsed: Tensor) -> Tensor:
        """Attention over whole histories, each step to those within its reach."""
        # Blocks of as many steps as are seen; each attends to itself and to the one before it.
        size = self.config.history
        lengths = np.diff(offsets)
        blocks = -(-lengths // size)
        first = np.concatenate([[0], np.cumsum(blocks)])
        place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        rows = torch.from_numpy(np.repeat(first[:-1], lengths) * size + place)
        clock = torch.cumsum(elapsed.double(), 0).float()

        def blocked(values: Tensor, fill: float) -> Tensor:
            flat = values.new_full((int(first[-1]) * size, *values.shape[1:]), fill)
            blocks: Tensor = flat.index_copy(0, rows, values).unflatten(0, (-1, size))
            return blocks

        inputs = blocked(self.before_attention(hidden), 0.0)
        times = blocked(clock, torch.inf)
        query, key, value = self.project(inputs).chunk(3, -1)
        opens = torch.zeros(len(inputs), dtype=torch.bool)
        opens[torch.from_numpy(first[:-1][blocks > 0])] = True  # first blocks of objects

        def with_earlier(values: Tensor) -> Tensor:
            return torch.cat([values.roll(1, 0), values], 1)

        step = torch.arange(size)
        distance = size + step[:, None] - torch.arange(2 * size)
        seen = (distance >= 0) & (distance < size)  # (queries, keys)
        usable = with_earlier(times).isfinite()
        usable[:, :size] &= ~opens[:, None]
        mask = seen & usable[:, None] & times.isfinite()[..., None]
        since = (times[..., None] - with_earlier(times)[:, None]).where(mask, 0.0)
        attended = self._attend(query, with_earlier(key), with_earlier(value), since, mask)
        return self._finish(hidden, attended.flatten(0, 1)[rows])

    def start(self, objects: int) -> list[Tensor]:
        """The memory of objects that nobody asked for yet."""
        like, size, width = self.slope, self.config.history, self.config.width
        return [
            like.new_zeros(objects, size, width),  # keys, the latest last
            like.new_zeros(objects, size, width),  # values
            like.new_full((objects, size), torch.inf),  # thousands of requests since each
        ]

    def advance(
        self, hidden: Tensor, memory: list[Tensor], elapsed: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """One step of each object: what comes out, and the memory after it."""
        query, key, value = self.project(self.before_attention(hidden))[:, None].chunk(3, -1)
        keys = torch.cat([memory[0][:, 1:], key], 1)
        values = torch.cat([memory[1][:, 1:], value], 1)
        ages = torch.cat([memory[2][:, 1:] + elapsed[:, None], torch.zeros(len(hidden), 1)], 1)
        mask = ages.isfinite()[:, None]
        since = ages[:, None].where(mask, 0.0)
        attended = self._attend(query, keys, values, since, mask)
        return self._finish(hidden, attended[:, 0]), [keys, values, ages]

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, since: Tensor, mask: Tensor
    ) -> Tensor:
        """Attention; query (n, q, width), key and value (n, k, width), since and mask (n, q, k)."""
        query, key, value = (
            t.unflatten(-1, (_HEADS, -1)).transpose(1, 2) for t in (query, key, value)
        )
        bias = -self.slope[:, None, None] * torch.log1p(since)[:, None]
        # A row of padding sees nothing; it attends to all alike, and is not read.
        bias = bias.masked_fill(~mask[:, None], _UNSEEN)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return attended.transpose(1, 2).flatten(2)

    def _finish(self, hidden: Tensor, attended: Tensor) -> Tensor:
        hidden = hidden + self.join(attended)
        result: Tensor = hidden + self.forward_part(self.before_forward(hidden))
        return result
