"""Processes that are started, watched and ended: children, signals, roles as commands.

Modules:
    children: processes that do not outlive their parent
    lifeline: a process that ends when the one that started it is gone
    roles: roles as processes of their own
    starting: what a process that starts is at, in a file
    stopping: the signals that end a process in its own order
"""

__all__ = ["children", "lifeline", "roles", "starting", "stopping"]
