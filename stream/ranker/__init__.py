"""The ranker: windows of requests in, decisions about each edge's cache out.

Modules:
    role: puts it together
    decisions: a state machine from an edge's windows to decisions
    shadow_caches: what decisions are worth: caches on the same requests
"""

__all__ = ["decisions", "role", "shadow_caches"]
