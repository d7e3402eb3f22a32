"""Recorded cascades and requests: their files, and what is made of them.

Modules:
    text: text files as they are published, packed or plain
    cascades: reads files of recorded cascades
    requests: reads files of recorded requests
    datasets: the recorded data sets, and what training and tests make of them
"""

__all__ = ["cascades", "datasets", "requests", "text"]
