"""How long a call of a model takes, learnt from the calls just made; and calls cut by it.

    seconds = call + snapshot * snapshots + event * events

The three costs are fitted by least squares, none of them below 0. Older calls fade, so that the
fit follows a machine that gets busier. The error of a call counts relative to its prediction, for
the noise of a timing grows with the time; and a timing is believed within a factor `BELIEVED` of
its prediction only: a pause of the machine moves the fit little. Two calls in a row beyond that
are no pause: what was before no longer counts. What the calls do not tell apart, such as the cost
of a snapshot from that of its events where all have as many, stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Before the first call is timed: slower than most models on a processor, so the first calls are
# small rather than late.
FIRST = (2e-3, 2e-4, 5e-6)
FADING = 0.9  # what a call counts when the next is made: some ten calls are remembered
BELIEVED = 4.0
# How firmly the last fit is held, as a share of what the remembered calls say.
_HOLD = 0.01
_LEAST_SECONDS = 1e-6
_SUBSETS = [list(kept) for size in (2, 1) for kept in combinations(range(3), size)]


class CallCost:
    """The costs of one model's calls.

    Attributes:
        costs: seconds a call, a snapshot and an event, shape (3,), at least 0.
    """

    def __init__(self) -> None:
        self.costs: NDArray[np.float64] = np.array(FIRST)
        self._squares = np.zeros((3, 3))
        self._products = np.zeros(3)
        self._was_beyond = False

    def predict(self, snapshots: float, events: float) -> float:
        """Seconds that a call with so many snapshots, and events in all of them, will take."""
        return float(self.costs @ (1.0, snapshots, events))

    def learn(self, snapshots: int, events: int, seconds: float) -> None:
        """Takes in how long a call took."""
        predicted = max(self.predict(snapshots, events), _LEAST_SECONDS)
        believed = min(max(seconds, predicted / BELIEVED), predicted * BELIEVED)
        row = np.array([1.0, snapshots, events]) / predicted
        is_beyond = believed != seconds
        fading = 0.0 if is_beyond and self._was_beyond else FADING
        self._was_beyond = is_beyond
        self._squares = fading * self._squares + np.outer(row, row)
        self._products = fading * self._products + row * (believed / predicted)
        # Normal equations, with the last fit as a further, weak observation of each cost.
        hold = _HOLD * self._squares.diagonal() + _LEAST_SECONDS
        self.costs = _least_squares(
            self._squares + np.diag(hold), self._products + hold * self.costs
        )

    def cut(self, events: Sequence[int], deadline: float) -> list[list[int]]:
        """Cuts snapshots into calls that are predicted to keep a deadline.

        Those with as many events go together, fewest first. A call is longer than the deadline
        only where it is of one snapshot, or where more than half of the deadline would go by
        before the first: then it is cut to twice that, for calls that do little else than begin
        would keep no deadline either.

        Args:
            events: of each snapshot.
            deadline: seconds.

        Returns:
            the positions of each call's snapshots in `events`, each position once.
        """
        call, snapshot, event = self.costs.tolist()
        longest = max(deadline, 2 * call)
        calls: list[list[int]] = []
        seconds = np.inf
        for position in np.argsort(np.asarray(events), kind="stable").tolist():
            more = snapshot + event * events[position]
            if seconds + more > longest:
                calls.append([])
                seconds = call
            calls[-1].append(position)
            seconds += more
        return calls


def _least_squares(squares: NDArray[np.float64], products: NDArray[np.float64]) -> NDArray[Any]:
    """The minimum of x·squares·x - 2 products·x over x >= 0, shape (3,); squares is definite."""
    # Scaled to a unit diagonal: events are many, and their cost is tiny.
    scale = np.sqrt(squares.diagonal())
    squares, products = squares / np.outer(scale, scale), products / scale
    found = np.linalg.solve(squares, products)
    if (found < 0).any():
        # Some are 0. So few unknowns need no method: every choice of the others is tried.
        best = 0.0
        found = np.zeros(3)
        for kept in _SUBSETS:
            some = np.linalg.solve(squares[np.ix_(kept, kept)], products[kept])
            value = -float(some @ products[kept])
            if (some >= 0).all() and value < best:
                best = value
                found = np.zeros(3)
                found[kept] = some
    return found / scale
