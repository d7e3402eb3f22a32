"""Is one thing better than another? A test that may be looked at as often as one likes.

Who looks at a growing sample until a usual test says yes will see it say yes in the end. The bound
here holds at all times at once, the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha,
Kennedy and Ramdas (2021, "Time-uniform central limit theory"), one-sided. It asks nothing of the
distribution of the differences but a variance.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

# Fewer say nothing: the bound rests on the central limit theorem, and skewed differences need as
# many until it is wrong no oftener than it says.
LEAST = 150
# Where the bound is tightest; elsewhere it is a little wider.
TIGHTEST = 300


def lower_bound(differences: ArrayLike, error: float = 0.05) -> float:
    """What the mean of the differences exceeds, at all sample sizes at once.

    Args:
        differences: independent, in the order in which they came, shape (n,).
        error: probability that the mean is below the bound at any sample size from `LEAST` on.

    Returns:
        -inf for fewer than `LEAST`.
    """
    sample = np.asarray(differences, np.float64)
    n = len(sample)
    if n < LEAST:
        return -math.inf
    tuned = -2 * math.log(error)
    rho = (tuned + math.log(tuned) + 1) / TIGHTEST  # squared, in the paper's notation
    spread = n * rho + 1
    width = math.sqrt(2 * spread / (n**2 * rho) * math.log(1 + math.sqrt(spread) / (2 * error)))
    return float(sample.mean() - sample.std() * width)
