"""Cascades as a recording has them, for tests of trainings."""

import numpy as np

from models.data.datasets import ROOT, Cascade


def made(count: int, seed: int = 0) -> list[Cascade]:
    """Cascades whose answers thin out as a power of time, of many sizes."""
    rng = np.random.default_rng(seed)
    cascades = []
    for number in range(count):
        answers = int(np.exp(rng.uniform(0, 5)))
        delays = np.append(0.0, np.sort(np.exp(rng.normal(8, 2, answers))))
        parents = np.array([ROOT] + [0] * answers, np.int32)
        users = [str(user) for user in range(answers + 1)]
        published = 1.4e9 + 3_600 * number
        cascades.append(Cascade(f"c{number}", "0", published, users, parents, delays))
    return cascades
