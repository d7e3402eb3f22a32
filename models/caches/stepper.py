"""What steps the objects of a neural cache: its shape, and what it is asked.

After every few hundred requests each object that was requested among them is stepped. What comes
out are log weights of its decayed counts, one mixture for each of several horizons
(`models.caches.networks.ranker`).
"""

from __future__ import annotations

from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

# Requests over which the expected share is asked for, exponentially discounted: the time that
# objects stay in caches of different sizes.
HORIZONS: tuple[float, ...] = (500.0, 2_000.0, 8_000.0, 32_000.0, 128_000.0)
# A correction multiplies a weight by e^3 at most: enough to switch a time constant off, and too
# little to bring back what the counts have forgotten.
LIMIT = 3.0
FEATURE_LIMIT = 4.0  # standard deviations
Memory = list[NDArray[np.float32]]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a network looks like.

    Attributes:
        every: requests between two steps, a window of the clock that counts requests.
        width: of the body.
        layers: blocks of the body.
        state: components of a channel's state (Mamba).
        history: steps that attention sees (Transformer).
    """

    every: int = 200
    width: int = 16
    layers: int = 1
    state: int = 16
    history: int = 64


class Stepper(Protocol):
    """A trained network, stepped; caches may share one."""

    @property
    def config(self) -> Config:
        """Its shape."""

    @property
    def prior(self) -> NDArray[np.float32]:
        """Log weights of an object that was never stepped, (horizons, time constants)."""

    def start(self, objects: int) -> Memory:
        """The memory of objects before their first step; the first axis of each is theirs."""

    def step(
        self, features: NDArray[np.float32], memory: Memory, elapsed: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], Memory]:
        """Log weights after one step of each object, and the new memory.

        Args:
            features: of `RequestHistory.step`, shape (objects, WIDTH).
            memory: of the objects; it is left as it is.
            elapsed: thousands of requests served since the step before, shape (objects,).

        Returns:
            log weights, shape (objects, horizons, time constants), and the memory.
        """
