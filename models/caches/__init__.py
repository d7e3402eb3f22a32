"""Caches and rankers of objects: decayed counts, and what other people use.

Modules:
    workload: a trace of requests as a cache is measured on it
    request_history: the history of every object, as counts that decay
    decayed: the ranker by decayed counts
    tuned: decayed counts as a cache that tunes itself
    scorecache: evict the lowest priority, admit only what is above
    neural: a cache whose scores a network corrects, and its ranker
    stepper: what steps the objects of such a cache
    mamba_step: CacheMamba's step as a compiled kernel
    model: a trained ranker as a model of the registry
    networks: the neural rankers
    training: how a network learns to rank, from requests
    classical: the policies that other people use, by libcachesim
    belady: what a cache could do at most that knew all requests to come
"""

__all__ = [
    "belady",
    "classical",
    "decayed",
    "mamba_step",
    "model",
    "networks",
    "neural",
    "request_history",
    "scorecache",
    "stepper",
    "training",
    "tuned",
    "workload",
]
