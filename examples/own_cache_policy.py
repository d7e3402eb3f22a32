"""A cache policy of one's own, judged on a trace of requests beside those that there are.

python examples/own_cache_policy.py trace.csv.xz

Two strikes: LRU that lets an object in at the second request for it, so that what is asked for once
takes nobody's place. It remembers what it has turned away, as many objects as it may hold units.

What a policy owes: whether each request was a hit, and nothing after a request may change that.
`cache_policies.POLICIES` is where one would stand that `tidecast evaluate caching` is to know.
"""

import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.caches.workload import Workload, workload
from models.data.requests import read_requests
from models.judging.cache_policies import Policy, named
from models.judging.caching import CacheComparison, CacheResult


def two_strikes(work: Workload, capacity: int) -> NDArray[np.bool_]:
    """Whether each request was a hit in an empty cache of so many objects or bytes."""
    held: OrderedDict[int, int] = OrderedDict()  # object: its weight, the latest request last
    turned_away: OrderedDict[int, None] = OrderedDict()
    room = capacity
    hits = np.zeros(len(work), np.bool_)
    requests = zip(work.objects.tolist(), work.weights.tolist(), strict=True)
    for number, (item, weight) in enumerate(requests):
        if item in held:
            hits[number] = True
            held.move_to_end(item)
        elif item in turned_away and weight <= capacity:
            del turned_away[item]
            held[item] = weight
            room -= weight
            while room < 0:
                room += held.popitem(last=False)[1]
        else:
            turned_away[item] = None
            turned_away.move_to_end(item)
            if len(turned_away) > capacity:
                turned_away.popitem(last=False)
    return hits


TWO_STRIKES = Policy("two-strikes", "two strikes", two_strikes)


def judge(work: Workload) -> list[CacheResult]:
    """Hit ratios in caches of a hundredth, a twentieth and a tenth of what is asked for."""
    comparison = CacheComparison(work, sizes=(0.01, 0.05, 0.1))
    for policy in [*named(["lru", "decayed", "belady"]), TWO_STRIKES]:
        comparison.add(policy)
    return comparison.results


if __name__ == "__main__":
    for result in judge(workload(read_requests(Path(sys.argv[1])))):
        print(f"{result.policy:12} {result.size:>5.0%} {result.hit_ratio:.3f}")
