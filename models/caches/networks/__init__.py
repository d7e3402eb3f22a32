"""The neural rankers: CacheMamba, and the Transformer that it is compared with.

Modules:
    ranker: histories of requests in, mixtures of decayed counts out
    cachemamba: a selective state space over each object's history
    rank_transformer: attention over an object's latest windows
    mamba: the Mamba block
    selective_scan: a recurrence whose step size, input and output follow the input
    selective_scan_kernel: the same over ragged sequences as a compiled kernel
    material: what a ranker learns from
"""

__all__ = [
    "cachemamba",
    "mamba",
    "material",
    "rank_transformer",
    "ranker",
    "selective_scan",
    "selective_scan_kernel",
]
