"""The edge agent: follows the decisions about one edge and offers them to the cache beside it.

Modules:
    agent: puts it together: one process beside one cache
    follower: all decisions of one edge, from the start and then on
    table: the decisions in force, and what changed
    clock: what time it is, in event time
    service: what the agent answers over HTTP
    news: wakes those who wait for a change
    varnish: keeps a Varnish informed
    prefetch: has the cache fetch what is expected
    target: objects as targets of requests
    metrics: what an agent exports
"""

__all__ = [
    "agent",
    "clock",
    "follower",
    "metrics",
    "news",
    "prefetch",
    "service",
    "table",
    "target",
    "varnish",
]
