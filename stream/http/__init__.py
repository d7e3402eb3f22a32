"""What every HTTP server stands on: who may ask, where it listens, how it says no.

Modules:
    access: names, tokens and rates
    listening: addresses
    problems: problem details (RFC 9457)
"""

__all__ = ["access", "listening", "problems"]
