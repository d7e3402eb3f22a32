"""Dead letters: read, told by their cause, and sent back.

Modules:
    reading: what is wrong, and where it came from
    redrive: sent back, once what made them fail is mended
"""

__all__ = ["reading", "redrive"]
