"""Everything on one machine, and what it shows in the terminal.

Modules:
    up: puts it together: broker, topics, roles, traffic, display
    embedded: the embedded broker
    observer: what comes out, as a reader of the public topics sees it
    board: what the terminal shows
"""

__all__ = ["board", "embedded", "observer", "up"]
