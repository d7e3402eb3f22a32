"""The ranker: windows of requests in, decisions about each edge's cache out.

Modules:
    role: puts it together
    batch: a batch of windows answered
    held: the partitions of a worker, brought to where it answers from
    edges: the edges of one partition, a function of its windows
    decisions: a state machine from an edge's windows to decisions
    shadow_caches: what decisions are worth: caches on the same requests
    metrics: what the ranker exports, and what obeying it gains
"""

__all__ = ["batch", "decisions", "edges", "held", "metrics", "role", "shadow_caches"]
