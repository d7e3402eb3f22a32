"""The policies that are compared on traces of requests, by name.

    Policy           decides as it goes: `replay` says of each request whether it was a hit
    TrainedPolicy    learns first, once for all capacities, and is a `Policy` then

To compare another, add it to `POLICIES`. What is asked of it: nothing after a request changes
whether that request was a hit, and of a `TrainedPolicy`, that it learns from nothing but what it
is given. The tests hold every policy of the table to the first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.caches import belady, classical
from models.caches.decayed import DecayedCountRanker
from models.caches.scorecache import AdvisedCache
from models.caches.tuned import TunedCache
from models.caches.workload import Workload
from models.interface import Ranker
from models.learning.recipes import Report
from models.registry import UnknownModelError
from topics.errors import TidecastError

if TYPE_CHECKING:
    from models.caches.model import RankerModel

# Whether each request was a hit, shape (requests,), in a cache of so many units.
Replay = Callable[[Workload, int], NDArray[np.bool_]]


class UnknownPolicyError(TidecastError, ValueError):
    """A policy that is not in the table."""


@dataclass(frozen=True)
class Policy:
    """A way to run a cache.

    Attributes:
        name: in tables and files.
        title: in words.
        replay: the whole workload through an empty cache of a capacity in the workload's unit.
        ranker: makes the ranker that the policy goes by, for a cache of so many objects; None
            where it ranks nothing.
        needs: raises an error that says what to install, if something is missing.
    """

    name: str
    title: str
    replay: Replay
    ranker: Callable[[int], Ranker] | None = None
    needs: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class TrainedPolicy:
    """A policy with something to learn.

    Attributes:
        name, title: of the policy.
        train: learns from the part of a workload before the test, with a seed; is told a
            `Report` to say how it gets on.
        load: the newest version of a registry, of the one that ships if None; raises where that
            holds none.
    """

    name: str
    title: str
    train: Callable[[Workload, int, Report], Policy]
    load: Callable[[Path | None], Policy]


def _lru(workload: Workload, capacity: int) -> NDArray[np.bool_]:
    return AdvisedCache(capacity, workload.unit).replay(workload.objects, workload.weights)


def _decayed(workload: Workload, capacity: int) -> NDArray[np.bool_]:
    cache = TunedCache(capacity, workload.unit, workload.objective, fetch_cost=workload.fetch_cost)
    return cache.replay(workload.objects, workload.weights)


def neural(model: RankerModel) -> Policy:
    """The cache that a trained network drives."""

    def replay(workload: Workload, capacity: int) -> NDArray[np.bool_]:
        cache = model.cache(capacity, workload.unit, workload.objective, workload.fetch_cost)
        return cache.replay(workload.objects, workload.weights)

    return Policy(model.name, _TITLES[model.name], replay, ranker=model.ranker)


def _learnt(name: str) -> TrainedPolicy:
    # Imported when it is asked for: PyTorch takes seconds to import, and most policies need none.
    def train(workload: Workload, seed: int, report: Report) -> Policy:
        from models.caches.training import train_ranker

        return neural(train_ranker(name, [workload.objects], seed, report=report)[0])

    def load(root: Path | None) -> Policy:
        from models import registry

        return neural(registry.load_ranker(name, root=root))

    return TrainedPolicy(name, _TITLES[name], train, load)


def _classical(name: str, title: str) -> Policy:
    replay = functools.partial(classical.replay, name)
    return Policy(name, title, replay, needs=classical.library)


DECAYED = Policy("decayed", "decayed count", _decayed, ranker=DecayedCountRanker)
_TITLES = {"cachemamba": "CacheMamba", "transformer": "Transformer"}
POLICIES: dict[str, Policy | TrainedPolicy] = {
    policy.name: policy
    for policy in (
        Policy("lru", "LRU", _lru),
        _classical("lfu", "LFU"),
        _classical("s3fifo", "S3-FIFO"),
        _classical("sieve", "SIEVE"),
        _classical("wtinylfu", "W-TinyLFU"),
        _classical("lrb", "LRB"),
        DECAYED,
        _learnt("cachemamba"),
        _learnt("transformer"),
        Policy("belady", "Belady", belady.replay),
    )
}


def named(
    names: list[str] | None,
    policies: Mapping[str, Policy | TrainedPolicy] = POLICIES,
    skipped: Callable[[str, Exception], None] = lambda name, error: None,
    load: Callable[[TrainedPolicy], Policy] | None = None,
) -> list[Policy | TrainedPolicy]:
    """The policies of a list of names in its order, each once; of all names where it is None.

    Args:
        names: in the table.
        policies: the table.
        skipped: is told of each policy that nobody named and whose package or model is missing.
        load: gives a policy that learns as it was trained before; None leaves it to learn.

    Raises:
        UnknownPolicyError: a name that is not in the table.
        MissingExtraError: a policy that was named needs a package that is missing.
        UnknownModelError: the registry that `load` goes by holds none of that name.
    """
    unknown = [name for name in names or [] if name not in policies]
    if unknown:
        raise UnknownPolicyError(
            f"policies: got {', '.join(map(repr, unknown))}; expected some of {', '.join(policies)}"
        )
    chosen = []
    for name in dict.fromkeys(policies if names is None else names):
        policy = policies[name]
        try:
            if isinstance(policy, Policy):
                policy.needs()
            elif load is not None:
                policy = load(policy)
        except (classical.MissingExtraError, UnknownModelError) as error:
            if names is not None:
                raise
            skipped(name, error)
            continue
        chosen.append(policy)
    return chosen
