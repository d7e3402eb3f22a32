"""The heart: heartbeats into every partition of the input topics.

Modules:
    role: all of it
"""

__all__ = ["role"]
