"""What a process tells of itself: lines of log, metrics, spans, and what it noticed.

Modules:
    setup: all of it, for one role
    log_lines: records of the log as lines
    families: metrics of one part, named and told alike
    metrics_server: /metrics, in a thread of its own
    spans: OpenTelemetry, where it is asked for
    traces: the trace that a message belongs to
    notices: what a role notices about its input
    noticed: the reader's side of that, in words
"""

__all__ = [
    "families",
    "log_lines",
    "metrics_server",
    "noticed",
    "notices",
    "setup",
    "spans",
    "traces",
]
