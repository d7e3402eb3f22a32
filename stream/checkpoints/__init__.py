"""State beyond a worker's life: written as it goes, and read again.

Modules:
    recovery: when: given a partition, once an interval, let go
    store: where, at any URL that fsspec knows
    content: what: columns of one partition's state, and whose they are
    object_state: plain objects as arrays, and back
"""

__all__ = ["content", "object_state", "recovery", "store"]
