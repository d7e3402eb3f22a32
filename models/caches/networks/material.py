"""What a neural ranker learns from: sequences of requests, cut into windows of equally many.

At the end of some windows, a query, every object known is asked for its share of the requests to
come. The answer is the discounted count of its requests after the query,

    sum of exp(-(v' - v) / horizon) over its requests v' > v,

over that of all requests, both up to the end of the part that is learnt from. An epoch draws
queries, and for each block of them a part of the objects: the steps of a block's objects go
through the network from the first to the last, so nothing of a history is cut off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from models.caches.request_history import RequestHistory
from models.caches.stepper import HORIZONS
from models.caches.workload import TooFewRequestsError
from models.learning.loop import Block

# A query is a row for each object known; so many rows are kept at most.
_MOST_ROWS = 1_500_000
# Requests at the start after which nothing is asked, since counts say little yet, and at the end,
# since little is known of what follows: so many, or in short sequences such a share of them.
_WARM, _WARM_SHARE = 2_000, 0.1
_CLOSE, _CLOSE_SHARE = 500, 0.02
_BLOCKS = 20  # an epoch at most, for each sequence
_STEPS_A_BLOCK_MORE = 500  # short sequences have fewer blocks
_QUERIES = 8  # a block
_STEPS = 16_000  # a block, about
_VALIDATION_QUERIES = 24


class Query(NamedTuple):
    """One moment at which all objects known are asked about.

    Attributes:
        clock: requests served so far.
        objects: those known, ascending.
        rows: index among all steps of each object's latest step.
        shares: of the requests, at each time constant, float32, shape (objects, time constants).
    """

    clock: int
    objects: NDArray[np.int64]
    rows: NDArray[np.int64]
    shares: NDArray[np.float32]


class Observed(NamedTuple):
    """Steps of several objects, and what is asked.

    Attributes:
        features: shape (steps, WIDTH).
        elapsed: thousands of requests since the step before, shape (steps,).
        offsets: steps of object i are those from `offsets[i]` to `offsets[i + 1]`.
        rows: of each query, the steps that answer, shape (objects,).
        shares: of each query, shape (objects, time constants).
    """

    features: Tensor
    elapsed: Tensor
    offsets: NDArray[np.int64]
    rows: list[Tensor]
    shares: list[Tensor]


class Histories:
    """The steps of all objects of one sequence of requests, and the queries.

    Attributes:
        features, elapsed, offsets: as of `Observed`, as arrays, of all objects.
        queries: ascending by clock.
        requests: the object of each request, dense from 0.

    Args:
        requests: in order.
        every: requests between two steps.

    Raises:
        TooFewRequestsError: fewer than `every`.
    """

    def __init__(self, requests: NDArray[np.int32], every: int) -> None:
        if len(requests) < every:
            raise TooFewRequestsError(
                f"got {len(requests)} requests; expected many times the {every} after which "
                "objects are stepped: give more, or step more often"
            )
        self.requests = requests
        known = int(requests.max()) + 1
        history = RequestHistory()
        ends = range(every, len(requests) + 1, every)
        asked = _asked(ends, min(_WARM, int(_WARM_SHARE * len(requests))), known)
        stepped, features, elapsed, moments = [], [], [], []
        counted = np.zeros(known, np.int64)  # steps of each object so far
        for number, end in enumerate(ends):
            history.record(requests[end - every : end])
            objects, told, passed = history.step()
            stepped.append(objects)
            features.append(told)
            elapsed.append(passed)
            counted[objects] += 1
            if number in asked:
                seen = np.flatnonzero(counted)
                shares = history.shares(seen).astype(np.float32)
                moments.append((end, seen, counted[seen] - 1, shares))
        order = np.argsort(np.concatenate(stepped), kind="stable")
        self.features = np.concatenate(features)[order]
        self.elapsed = np.concatenate(elapsed)[order]
        self.offsets = np.concatenate([[0], np.cumsum(counted)])
        self.queries = [
            Query(clock, seen, self.offsets[seen] + latest, shares)
            for clock, seen, latest, shares in moments
        ]

    def targets(self, query: Query, end: int) -> Tensor:
        """Each object's share of the discounted requests from the query to `end`.

        Shape (objects, horizons), float32; the objects of the query.
        """
        horizons = np.asarray(HORIZONS)
        counts = np.zeros((len(self.offsets) - 1, horizons.size))
        _discount(self.requests[query.clock : end], horizons, counts)
        shares = counts[query.objects] / counts.sum(0)
        return torch.from_numpy(shares.astype(np.float32))

    def observe(
        self, queries: Sequence[Query], targets: Sequence[Tensor], chosen: NDArray[np.bool_]
    ) -> Block:
        """What the network reads of some objects, and what it should say."""
        lengths = np.where(chosen, np.diff(self.offsets), 0)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        steps = np.repeat(chosen, np.diff(self.offsets))
        moved = offsets[:-1] - self.offsets[:-1]
        rows, shares, wanted = [], [], []
        for query, target in zip(queries, targets, strict=True):
            inside = chosen[query.objects]
            rows.append(torch.from_numpy((query.rows + moved[query.objects])[inside]))
            shares.append(torch.from_numpy(query.shares[inside]))
            wanted.append(target[torch.from_numpy(inside)])
        features, elapsed = (torch.from_numpy(a[steps]) for a in (self.features, self.elapsed))
        return Observed(features, elapsed, offsets, rows, shares), wanted


class RankerMaterial:
    """Blocks of an epoch, from several sequences in turn. A `Material`.

    Args:
        sources: each with the positions between which its queries lie.

    Raises:
        TooFewRequestsError: no window of any source ends between those.
    """

    def __init__(self, sources: Sequence[tuple[Histories, int, int]]) -> None:
        self._sources = []
        for histories, first, last in sources:
            close = last - min(_CLOSE, int(_CLOSE_SHARE * len(histories.requests)) + 1)
            queries = [q for q in histories.queries if first <= q.clock <= close]
            targets = [histories.targets(query, last) for query in queries]
            if queries:
                self._sources.append((histories, queries, targets))
        if not self._sources:
            windows = sum(len(histories.queries) for histories, _, _ in sources)
            raise TooFewRequestsError(
                f"got {windows} windows to ask after, and none where one is needed; expected "
                "several in each part of the requests: give more requests, or step more often"
            )

    def __len__(self) -> int:
        return sum(_blocks(histories) for histories, _, _ in self._sources)

    def blocks(self, rng: np.random.Generator) -> Iterator[Block]:
        """Blocks with queries and objects drawn anew."""
        for number in range(_BLOCKS):
            for histories, queries, targets in self._sources:
                if number >= _blocks(histories):
                    continue
                drawn = rng.choice(len(queries), min(_QUERIES, len(queries)), replace=False)
                share = _STEPS / len(histories.features)
                chosen = rng.random(len(histories.offsets) - 1) < share
                yield histories.observe(
                    [queries[i] for i in drawn], [targets[i] for i in drawn], chosen
                )

    def validation(self) -> list[Block]:
        """All objects at queries that lie evenly, a block for each sequence."""
        blocks = []
        for histories, queries, targets in self._sources:
            even = np.linspace(0, len(queries) - 1, min(_VALIDATION_QUERIES, len(queries)))
            picked = even.astype(int).tolist()
            everything = np.ones(len(histories.offsets) - 1, np.bool_)
            blocks.append(
                histories.observe(
                    [queries[i] for i in picked], [targets[i] for i in picked], everything
                )
            )
        return blocks


def _blocks(histories: Histories) -> int:
    return min(_BLOCKS, 1 + len(histories.features) // _STEPS_A_BLOCK_MORE)


def _asked(ends: Sequence[int], warm: int, known: int) -> set[int]:
    """Numbers of the windows after which objects are asked about."""
    late = [number for number, end in enumerate(ends) if end > warm]
    count = min(max(1, _MOST_ROWS // known), len(late))
    return {late[index] for index in np.linspace(0, len(late) - 1, count).astype(int)}


@njit(cache=True, nogil=True)
def _discount(ahead: Any, horizons: Any, counts: Any) -> None:
    for h in range(horizons.size):
        fade = np.exp(-1 / horizons[h])
        weight = 1.0
        for item in ahead:
            weight *= fade
            counts[item, h] += weight
