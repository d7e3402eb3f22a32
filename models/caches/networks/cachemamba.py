"""CacheMamba: a selective state space over each object's history.

After arXiv 2502.15746, which ranks files by Mamba. Here the step size follows the requests served
since an object's step before, the state of an object is carried on from step to step, and what
is read from it is what to make of the object's decayed counts (`models.caches.networks.ranker`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from models.caches.networks.mamba import Mamba, State
from models.caches.networks.ranker import RankerNetwork
from models.caches.stepper import Config


class CacheMambaNetwork(RankerNetwork):
    """Mamba blocks, each with a norm before and around it a residual."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.blocks = nn.ModuleList(_Residual(config) for _ in range(config.layers))

    def body(self, hidden: Tensor, offsets: NDArray[np.int64], elapsed: Tensor) -> Tensor:
        """The blocks over whole histories, each with its residual."""
        for block in self._each():
            hidden = hidden + block.mamba.ragged(block.norm(hidden), offsets, elapsed)
        return hidden

    def start(self, objects: int) -> list[Tensor]:
        """The memory of objects that nobody asked for yet."""
        return [tensor for block in self._each() for tensor in block.mamba.start(objects)]

    def advance(
        self, hidden: Tensor, memory: list[Tensor], elapsed: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """One step of each object: what comes out, and the memory after it."""
        stepped: list[Tensor] = []
        for number, block in enumerate(self._each()):
            state = State(*memory[2 * number : 2 * number + 2])
            added, state = block.mamba.step(block.norm(hidden), state, elapsed)
            hidden = hidden + added
            stepped += state
        return hidden, stepped

    def _each(self) -> Iterator[_Residual]:
        for block in self.blocks:
            assert isinstance(block, _Residual)
            yield block


class _Residual(nn.Module):
    """A Mamba block and the norm before it."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(config.width)
        self.mamba = Mamba(config.width, config.state)
