"""Compiled arithmetic that knows no cascade.

Modules:
    dense: layers of trained networks
    trees: trees that LightGBM grew, without LightGBM
    vector_math: exp, sigmoid, tanh and softplus in float32
    heap: an indexed binary heap, and the cache that evicts from its top
    threads: how many threads kernels take
    kernel_cache: where compiled kernels are kept
    compiling: which kernel is compiled now
"""

__all__ = ["compiling", "dense", "heap", "kernel_cache", "threads", "trees", "vector_math"]
