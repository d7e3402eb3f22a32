"""The historian: requests at edges in, closed windows of requests out.

Modules:
    role: puts it together
    histories: the open windows of a partition's edges, and the clock that closes them
    window: one window of all edges, while it is open
"""

__all__ = ["histories", "role", "window"]
