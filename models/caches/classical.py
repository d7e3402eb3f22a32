"""The known policies of other people: from libcachesim, an optional package.

libcachesim (Yang et al.) is what the papers of S3-FIFO and SIEVE measure with. It is under the
GPL, so it is not a dependency: the extra `bench` brings it, and it is imported here alone, when a
policy is replayed. Its defaults are kept, but where they leave no room in a small cache that counts
objects: the window of W-TinyLFU, 1 % of the capacity, then holds one object, and the small queue of
S3-FIFO, 10 %, two, without which it lets nothing in.

    MissingExtraError(TidecastError, ImportError)    libcachesim is not installed
    TooSmallError(TidecastError, ValueError)         a policy has no room for its parts
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.caches.workload import Workload
from topics.errors import TidecastError

# Objects never expire: the library's own default of 300 days is shorter than some traces.
_NEVER = 1 << 31 - 1


class MissingExtraError(TidecastError, ImportError):
    """An optional package that is asked for is not installed."""


class TooSmallError(TidecastError, ValueError):
    """A capacity that leaves no room for the parts of a policy."""


# Units below which the library ends the process, or lets nothing into the cache.
LEAST = {"s3fifo": {"objects": 10, "bytes": 1_000}, "wtinylfu": {"objects": 10, "bytes": 1_000}}


def library() -> ModuleType:
    """libcachesim.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import libcachesim
    except ImportError as error:
        raise MissingExtraError(
            f"libcachesim, which has LFU, S3-FIFO, SIEVE, W-TinyLFU and LRB, cannot be imported "
            f"({error}); install it with `pip install 'tidecast[bench]'` (it is under the GPL, so "
            "it does not come by itself), or choose other policies, such as "
            "`--policies lru,decayed,belady`"
        ) from error
    module: ModuleType = libcachesim
    return module


def replay(name: str, workload: Workload, capacity: int) -> NDArray[np.bool_]:
    """Whether each request was a hit, shape (requests,).

    Raises:
        MissingExtraError: libcachesim is not installed.
        TooSmallError: a capacity below `LEAST`.
    """
    least = LEAST.get(name, {}).get(workload.unit, 1)
    if capacity < least:
        raise TooSmallError(
            f"{name}: got a capacity of {capacity} {workload.unit}; expected at least {least}, to "
            "have room for its parts"
        )
    package = library()
    cache = CACHES[name](package, workload, capacity)
    request = package.Request()
    hits = np.zeros(len(workload), np.bool_)
    columns = (
        (workload.timestamps - workload.timestamps[0]).astype(np.int64).tolist(),
        (workload.objects + 1).tolist(),
        workload.weights.tolist(),
    )
    get = cache.get
    for position, (seconds, item, size) in enumerate(zip(*columns, strict=True)):
        if size > capacity:
            continue  # can never be held; the library would say so on the terminal each time
        request.clock_time = seconds
        request.obj_id = item
        request.obj_size = size
        hits[position] = get(request)
    return hits


def _plain(kind: str, package: ModuleType, workload: Workload, capacity: int) -> Any:
    return getattr(package, kind)(capacity, **_common(workload))


def _s3fifo(package: ModuleType, workload: Workload, capacity: int) -> Any:
    small = _share(workload, capacity, 0.1, objects=2)
    return package.S3FIFO(capacity, small_size_ratio=small, **_common(workload))


def _wtinylfu(package: ModuleType, workload: Workload, capacity: int) -> Any:
    window = _share(workload, capacity, 0.01, objects=1)
    return package.WTinyLFU(capacity, window_size=window, **_common(workload))


def _share(workload: Workload, capacity: int, share: float, objects: int) -> float:
    """A share of the capacity with room for so many objects, where it counts objects."""
    if workload.unit == "bytes":
        return share
    return max(share, (objects + 0.5) / capacity)  # the library rounds down


def _lrb(package: ModuleType, workload: Workload, capacity: int) -> Any:
    # It knows no cost; of what it knows, bytes are nearer to one.
    kind = "object-miss-ratio" if workload.objective == "hits" else "byte-miss-ratio"
    return package.LRB(capacity, objective=kind, **_common(workload))


def _common(workload: Workload) -> dict[str, Any]:
    # log2 of the slots of its hash table: its default of 24 would take 128 MB a cache.
    slots = int(np.clip(workload.sizes.size.bit_length() + 1, 10, 24))
    return {"default_ttl": _NEVER, "hashpower": slots}


CACHES: dict[str, Callable[[ModuleType, Workload, int], Any]] = {
    "lfu": functools.partial(_plain, "LFU"),
    "s3fifo": _s3fifo,
    "sieve": functools.partial(_plain, "Sieve"),
    "wtinylfu": _wtinylfu,
    "lrb": _lrb,
}
