"""Random cascades for property tests."""

import numpy as np
from hypothesis import strategies as st

from models.data.datasets import ROOT, UNKNOWN_PARENT, Cascade


@st.composite
def cascades(draw: st.DrawFn, max_size: int = 60) -> Cascade:
    """A cascade of any shape: bursts, pauses, chains, stars, missing parents, repeated users."""
    size = draw(st.integers(1, max_size))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    gaps = np.exp(rng.normal(draw(st.floats(-2, 9)), draw(st.floats(0, 3)), size - 1))
    gaps[rng.random(size - 1) < draw(st.floats(0, 1))] = 0
    parents = np.array([ROOT] + [rng.integers(0, i) for i in range(1, size)], np.int32)
    parents[1:][rng.random(size - 1) < 0.1] = UNKNOWN_PARENT
    users = [f"u{rng.integers(0, size)}" for _ in range(size)]
    delays = np.concatenate([[0.0], np.cumsum(gaps)])
    return Cascade(f"c{seed}", users[0], 1.3e9 + seed % 86_400, users, parents, delays)
